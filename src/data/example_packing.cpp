#include "data/example_packing.h"

#include <deque>

namespace switchyard {
namespace {

constexpr size_t kOpenRows = 64;  // fills rows to about 95 %; more only cost time

struct OpenRow {
  std::vector<uint32_t> examples;
  SequenceLengths left;

  bool has_room(const SequenceLengths& example) const {
    return example.inputs <= left.inputs && example.targets <= left.targets;
  }
  void add(uint32_t index, const SequenceLengths& example) {
    examples.push_back(index);
    left.inputs -= example.inputs;
    left.targets -= example.targets;
  }
};

void close(const OpenRow& row, PackedRows& rows) {
  rows.examples.insert(rows.examples.end(), row.examples.begin(), row.examples.end());
  rows.ends.push_back(static_cast<uint32_t>(rows.examples.size()));
}

}  // namespace

PackedRows pack_examples(const std::vector<SequenceLengths>& lengths,
                         const std::vector<uint32_t>& order, const SequenceLengths& room) {
  PackedRows rows;
  std::deque<OpenRow> open;
  for (const uint32_t index : order) {
    const SequenceLengths& example = lengths[index];
    auto row = open.begin();
    while (row != open.end() && !row->has_room(example)) ++row;
    if (row == open.end()) {
      if (open.size() == kOpenRows) {
        close(open.front(), rows);
        open.pop_front();
      }
      open.push_back({{}, room});
      row = open.end() - 1;
    }
    row->add(index, example);
  }
  for (const OpenRow& row : open) close(row, rows);
  return rows;
}

}  // namespace switchyard
