#include "base/stop_signal.h"

#include <atomic>
#include <csignal>

namespace switchyard {
namespace {

std::atomic<int> noted = 0;
static_assert(std::atomic<int>::is_always_lock_free);  // safe inside a handler

// The second one, whichever of the two, has its default effect as soon as this returns.
void note(int signal_number) {
  if (noted.exchange(signal_number) == 0) return;
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

}  // namespace

void install_stop_handlers() {
  struct sigaction action {};
  action.sa_handler = note;
  for (const int signal_number : {SIGINT, SIGTERM}) ::sigaction(signal_number, &action, nullptr);
}

int stop_signal() { return noted; }

}  // namespace switchyard
