#include "lines.h"

#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "base/error.h"
#include "data/byte_source.h"

namespace switchyard {

void for_each_line(const std::string& path, const std::function<void(std::string_view)>& use,
                   const std::function<bool()>& stop) {
  const auto source = open_byte_source(path, stop);
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

namespace {

/// Nobody wants more lines.
struct Ended {};

}  // namespace

LineReader::LineReader(const std::string& path, size_t ahead, std::function<bool()> stop)
    : lines_(ahead), thread_([this, path, stop = std::move(stop)] {
        try {
          uint64_t number = 0;
          for_each_line(
              path,
              [&](std::string_view line) {
                ++number;
                if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
                if (!lines_.push({std::string(line), number})) throw Ended();
              },
              [&] { return ended_ || (stop && stop()); });
        } catch (const Ended&) {
        } catch (...) {
          error_ = std::current_exception();
        }
        lines_.close();
      }) {}

LineReader::~LineReader() {
  ended_ = true;
  lines_.close();
  thread_.join();
}

std::optional<NumberedLine> LineReader::next() {
  auto line = lines_.pop();
  if (!line && error_) std::rethrow_exception(error_);
  return line;
}

void print_line(const std::string& text) {
  if (std::fwrite((text + "\n").data(), 1, text.size() + 1, stdout) != text.size() + 1) {
    throw system_failure("cannot write", "standard output", errno);
  }
}

}  // namespace switchyard
