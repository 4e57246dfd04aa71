#include "infer/text_stream.h"

#include <algorithm>
#include <utility>

namespace switchyard {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

TextStream::TextStream(std::vector<std::string> stops, size_t fixed_bytes)
    : stops_(std::move(stops)), fixed_bytes_(fixed_bytes) {}

size_t TextStream::find_stop(std::string_view text) const {
  size_t first = std::string_view::npos;
  for (const std::string& stop : stops_) {
    first = std::min(first, text.find(stop, std::min(fixed_bytes_, text.size())));
  }
  return first;
}

size_t TextStream::held_back(std::string_view text) const {
  size_t incomplete = 0;
  while (text.substr(0, text.size() - incomplete).ends_with(kReplacement)) {
    incomplete += kReplacement.size();
  }
  const std::string_view complete = text.substr(0, text.size() - incomplete);
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, complete.size()); length > longest; --length) {
      if (complete.ends_with(std::string_view(stop).substr(0, length))) longest = length;
    }
  }
  return incomplete + longest;
}

bool TextStream::take_in(std::string_view text, bool last) {
  if (stopped_ || finished_) return stopped_;
  const size_t stop = find_stop(text);
  stopped_ = stop != std::string_view::npos;
  finished_ = last;
  if (stopped_) {
    text = text.substr(0, stop);
  } else if (!last) {
    text.remove_suffix(held_back(text));
  }
  if (text.size() > shown_.size()) shown_ += text.substr(shown_.size());
  return stopped_;
}

std::string TextStream::take() {
  std::string piece(fresh());
  taken_ = shown_.size();
  return piece;
}

}  // namespace switchyard
