#include "text/line_sampler.h"

#include <algorithm>

#include "text/utf8.h"

namespace switchyard {
namespace {

bool is_blank(std::string_view line) {
  return std::all_of(line.begin(), line.end(),
                     [](char c) { return static_cast<uint8_t>(c) <= 0x20 || c == 0x7F; });
}

}  // namespace

LineSampler::LineSampler(uint64_t max_bytes, uint64_t max_lines, uint64_t seed)
    : max_bytes_(max_bytes), max_lines_(max_lines), random_(seed, kRandomSample) {}

void LineSampler::add(std::string_view text) {
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    std::string_view line = text.substr(0, newline);
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    while (line.size() > kMaxLineBytes) {
      const size_t cut = part_border(line, kMaxLineBytes);
      add_line(line.substr(0, cut));
      line.remove_prefix(cut);
    }
    add_line(line);
  }
}

void LineSampler::add_line(std::string_view line) {
  if (is_blank(line)) return;
  const uint64_t index = lines_seen_++;
  bytes_seen_ += line.size();
  const uint64_t key = random_.bits64(index);
  if (key >= threshold_) return;
  lines_.push_back({key, index, std::string(line)});
  std::push_heap(lines_.begin(), lines_.end());
  bytes_kept_ += line.size();
  while (bytes_kept_ > max_bytes_ || (max_lines_ > 0 && lines_.size() > max_lines_)) {
    std::pop_heap(lines_.begin(), lines_.end());
    threshold_ = lines_.back().key;
    bytes_kept_ -= lines_.back().text.size();
    lines_.pop_back();
  }
}

std::vector<std::string> LineSampler::take() {
  std::sort(lines_.begin(), lines_.end(),
            [](const Line& a, const Line& b) { return a.index < b.index; });
  std::vector<std::string> texts;
  texts.reserve(lines_.size());
  for (Line& line : lines_) texts.push_back(std::move(line.text));
  lines_.clear();
  return texts;
}

}  // namespace switchyard
