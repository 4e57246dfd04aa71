#include "base/stop_signal.h"

#include <atomic>
#include <csignal>

namespace switchyard {
namespace {

std::atomic<int> noted = 0;
static_assert(std::atomic<int>::is_always_lock_free);  // safe inside a handler

void note(int signal_number) { noted = signal_number; }

}  // namespace

void install_stop_handlers() {
  struct sigaction action {};
  action.sa_handler = note;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal_number : {SIGINT, SIGTERM}) ::sigaction(signal_number, &action, nullptr);
}

int stop_signal() { return noted; }

}  // namespace switchyard
