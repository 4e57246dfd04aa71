#include "base/tensor_slice.h"

#include "base/error.h"
#include "base/format.h"

namespace switchyard {

TensorSlice::TensorSlice(std::vector<int64_t> whole) {
  for (const int64_t size : whole) axes_.push_back({.whole = size});
}

TensorSlice& TensorSlice::cut(size_t axis, int64_t part, int64_t parts, int64_t blocks) {
  Axis& own = axes_.at(axis);
  if (parts == 1) return *this;
  if (own.parts > 1 || own.whole % (parts * blocks) != 0) {
    throw usage_error(format("{} cannot be cut into {} equal parts", own.whole / blocks, parts),
                      "mesh", "take a number of ranks that divides it");
  }
  own.part = part;
  own.parts = parts;
  own.blocks = blocks;
  return *this;
}

std::vector<int64_t> TensorSlice::whole_shape() const {
  std::vector<int64_t> shape;
  for (const Axis& axis : axes_) shape.push_back(axis.whole);
  return shape;
}

std::vector<int64_t> TensorSlice::shape() const {
  std::vector<int64_t> shape;
  for (const Axis& axis : axes_) shape.push_back(axis.own());
  return shape;
}

int64_t TensorSlice::whole_numel() const {
  int64_t numel = 1;
  for (const Axis& axis : axes_) numel *= axis.whole;
  return numel;
}

int64_t TensorSlice::numel() const {
  int64_t numel = 1;
  for (const Axis& axis : axes_) numel *= axis.own();
  return numel;
}

size_t TensorSlice::cut_axis() const {
  size_t axis = 0;
  while (axis < axes_.size() && axes_[axis].parts == 1) ++axis;
  return axis;
}

bool TensorSlice::is_whole() const { return cut_axis() == axes_.size(); }

TensorSlice TensorSlice::without(size_t axis) const {
  TensorSlice rest = *this;
  rest.axes_.erase(rest.axes_.begin() + static_cast<std::ptrdiff_t>(axis));
  return rest;
}

TensorSlice TensorSlice::alone(size_t axis) const {
  TensorSlice own = *this;
  own.axes_.at(axis) = {.whole = axes_[axis].own()};
  return own;
}

TensorSlice TensorSlice::half(size_t axis) const {
  TensorSlice half = *this;
  half.axes_.at(axis).whole /= 2;
  half.axes_.at(axis).blocks = 1;
  return half;
}

TensorSlice TensorSlice::with_part(size_t axis, int64_t part) const {
  TensorSlice other = *this;
  other.axes_.at(axis).part = part;
  return other;
}

}  // namespace switchyard
