// TensorSlice: the part of a whole tensor that one rank holds. Pure numbers; what is stored in
// order is the slice, what is named by index is the whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace switchyard {

class TensorSlice {
 public:
  /// A run of elements that lie side by side in the slice and in the whole.
  struct Run {
    int64_t own = 0, whole = 0, count = 0;
  };

  TensorSlice() = default;
  /// All of a tensor.
  explicit TensorSlice(std::vector<int64_t> whole);
  TensorSlice(std::initializer_list<int64_t> whole) : TensorSlice(std::vector<int64_t>(whole)) {}

  /// Keeps part `part` of `parts` equal ones along `axis`, or, where the axis is `blocks` equal
  /// blocks one behind the other, that part of each block. An axis is cut once. Throws
  /// Error(kUsage) if the parts are not equal.
  TensorSlice& cut(std::size_t axis, int64_t part, int64_t parts, int64_t blocks = 1);

  std::vector<int64_t> whole_shape() const;
  std::vector<int64_t> shape() const;
  int64_t whole_numel() const;
  int64_t numel() const;
  bool is_whole() const;
  /// The first axis that is cut; the number of axes if none is.
  std::size_t cut_axis() const;
  /// Parts into which an axis was cut; 1: none.
  int64_t parts(std::size_t axis) const { return axes_[axis].parts; }
  /// Index in the whole of the first thing along `axis`.
  int64_t begin(std::size_t axis) const { return axes_[axis].part * axes_[axis].own_block(); }
  /// The slice of a tensor that lacks one of the axes, as sums along it do.
  TensorSlice without(std::size_t axis) const;
  /// The same with the part along one axis for all that there is.
  TensorSlice alone(std::size_t axis) const;
  /// The slice of one half of an axis: of either, where the axis is two blocks or whole.
  TensorSlice half(std::size_t axis) const;
  /// The slice of the rank that has part `part` along `axis`, cut into as many parts.
  TensorSlice with_part(std::size_t axis, int64_t part) const;

  /// In the order of the slice; the runs lie in that order in the whole too.
  template <class Visit>
  void for_each_run(const Visit& visit) const;

 private:
  struct Axis {
    int64_t whole = 0, part = 0, parts = 1, blocks = 1;

    int64_t block() const { return whole / blocks; }
    int64_t own_block() const { return block() / parts; }
    int64_t own() const { return whole / parts; }
    /// Index in the whole of own index i.
    int64_t at(int64_t i) const {
      return i / own_block() * block() + part * own_block() + i % own_block();
    }
  };

  std::vector<Axis> axes_;
};

template <class Visit>
void TensorSlice::for_each_run(const Visit& visit) const {
  // Behind the last cut axis everything is whole.
  std::size_t last = axes_.size();
  int64_t inner = 1;
  while (last > 0 && axes_[last - 1].parts == 1) inner *= axes_[--last].whole;
  if (last == 0) {
    visit(Run{0, 0, inner});
    return;
  }
  const int64_t run = axes_[last - 1].own_block() * inner;
  int64_t count = 1;  // of runs
  for (std::size_t axis = 0; axis + 1 < last; ++axis) count *= axes_[axis].own();
  count *= axes_[last - 1].blocks;
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i / axes_[last - 1].blocks;
    int64_t stride = axes_[last - 1].whole * inner;
    int64_t whole =
        axes_[last - 1].at(i % axes_[last - 1].blocks * axes_[last - 1].own_block()) * inner;
    for (std::size_t axis = last - 1; axis-- > 0;) {
      whole += axes_[axis].at(rest % axes_[axis].own()) * stride;
      rest /= axes_[axis].own();
      stride *= axes_[axis].whole;
    }
    visit(Run{i * run, whole, run});
  }
}

}  // namespace switchyard
