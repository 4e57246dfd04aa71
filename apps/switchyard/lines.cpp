#include "lines.h"

#include <cerrno>
#include <cstdio>
#include <vector>

#include "base/error.h"
#include "data/byte_source.h"

namespace switchyard {

void for_each_line(const std::string& path, const std::function<void(std::string_view)>& use) {
  const auto source = open_byte_source(path);
  std::string pending;
  std::vector<char> block(1 << 18);
  while (const size_t got = source->read(block.data(), block.size())) {
    std::string_view rest(block.data(), got);
    for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      pending += rest.substr(0, end);
      use(pending);
      pending.clear();
      rest.remove_prefix(end + 1);
    }
    pending += rest;
  }
  if (!pending.empty()) use(pending);
}

void print_line(const std::string& text) {
  if (std::fwrite((text + "\n").data(), 1, text.size() + 1, stdout) != text.size() + 1) {
    throw system_failure("cannot write", "standard output", errno);
  }
}

}  // namespace switchyard
