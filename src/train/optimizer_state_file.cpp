#include "train/optimizer_state_file.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

/// Stored elements [begin, end) of a whole tensor.
struct Piece {
  int64_t begin = 0, end = 0;  // along the first axis; end 0: all of it
  const StoredTensor* stored = nullptr;
};

Error unfit(const TensorFiles& files, const std::string& what) {
  return damaged_error(what, files.directory(),
                       "go on with the optimizer that the run was started with");
}

bool read_number(std::string_view text, int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

/// "NAME[begin:end]" apart; a name without brackets is one piece.
std::pair<std::string, Piece> piece_of(const std::string& stored_name) {
  const size_t open = stored_name.find('['), colon = stored_name.find(':', open);
  Piece piece;
  if (open == std::string::npos || colon == std::string::npos || stored_name.back() != ']') {
    return {stored_name, piece};
  }
  const std::string_view text = stored_name;
  const bool sound = read_number(text.substr(open + 1, colon - open - 1), piece.begin) &&
                     read_number(text.substr(colon + 1, text.size() - colon - 2), piece.end) &&
                     piece.begin >= 0 && piece.begin < piece.end;
  return {sound ? stored_name.substr(0, open) : stored_name, piece};
}

std::map<std::string, std::vector<Piece>> pieces_of(const TensorFiles& files) {
  std::map<std::string, std::vector<Piece>> pieces;
  for (const auto& [name, stored] : files.tensors()) {
    auto [whole, piece] = piece_of(name);
    piece.stored = &stored;
    pieces[whole].push_back(piece);
  }
  return pieces;
}

/// Whether pieces of a tensor of `size` experts follow each other from the first to the last.
bool are_complete(std::vector<Piece>& pieces, int64_t size) {
  if (pieces.size() == 1 && pieces.front().end == 0) return true;
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  int64_t at = 0;
  for (const Piece& piece : pieces) {
    if (piece.begin != at || piece.end <= at) return false;
    at = piece.end;
  }
  return at == size;
}

bool fits(const Piece& piece, std::vector<int64_t> whole) {
  if (piece.end > 0) {
    if (whole.empty() || piece.end > whole.front()) return false;
    whole.front() = piece.end - piece.begin;
  }
  return piece.stored->spec().dtype == DType::kF32 && piece.stored->spec().shape == whole;
}

/// Copies what the piece has of the entry.
void copy_piece(const Piece& piece, const OptimizerTensor& entry) {
  const std::vector<int64_t> whole = entry.slice.whole_shape();
  const int64_t numel = entry.slice.whole_numel();
  const int64_t stride = piece.end > 0 ? numel / whole.front() : 0;
  const int64_t first = piece.begin * stride, last = piece.end > 0 ? piece.end * stride : numel;
  auto* target = static_cast<std::byte*>(entry.tensor.mutable_data_ptr());
  entry.slice.for_each_run([&](const TensorSlice::Run& run) {
    const int64_t begin = std::max(run.whole, first);
    const int64_t count = std::min(run.whole + run.count, last) - begin;
    if (count <= 0) return;
    constexpr auto kWidth = static_cast<int64_t>(sizeof(float));
    std::memcpy(target + (run.own + begin - run.whole) * kWidth,
                piece.stored->data().data() + (begin - first) * kWidth,
                static_cast<size_t>(count * kWidth));
  });
}

}  // namespace

std::string stored_name(const OptimizerTensor& tensor) {
  if (!tensor.stack || tensor.slice.parts(0) == 1) return tensor.name;
  const int64_t begin = tensor.slice.begin(0);
  return format("{}[{}:{}]", tensor.name, begin, begin + tensor.slice.shape().front());
}

void read_optimizer_state(const TensorFiles& files, Optimizer& optimizer) {
  const std::vector<OptimizerTensor> state = optimizer.state();
  std::map<std::string, std::vector<Piece>> pieces = pieces_of(files);
  for (const OptimizerTensor& entry : state) {
    const auto found = pieces.find(entry.name);
    const std::vector<int64_t> whole = entry.slice.whole_shape();
    const bool there = found != pieces.end() && !whole.empty() &&
                       are_complete(found->second, whole.front()) &&
                       std::all_of(found->second.begin(), found->second.end(),
                                   [&](const Piece& piece) { return fits(piece, whole); });
    if (!there) {
      throw unfit(files,
                  format("no {} {} in the optimizer's state", entry.name, shape_text(whole)));
    }
    for (const Piece& piece : found->second) copy_piece(piece, entry);
  }
  if (const size_t all = optimizer.layout().size(); pieces.size() != all) {
    throw unfit(files, format("{} tensors instead of the optimizer's {}", pieces.size(), all));
  }
}

}  // namespace switchyard
