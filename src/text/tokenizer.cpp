#include "text/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/hash.h"
#include "text/model_check.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

using sentencepiece::SentencePieceProcessor;

constexpr std::string_view kSentinelStart = "<extra_id_";
// SentencePiece needs some 100 bytes of memory per byte of text: longer texts go in parts.
constexpr size_t kPartBytes = 256 << 10;
// No piece, so decoding passes it through: it keeps the space at the start of what follows.
constexpr std::string_view kMark = "\x01";

std::string sentinel_text(int32_t i) { return format("{}{}>", kSentinelStart, i); }

struct FoundSentinel {
  size_t begin, end;  // bytes in the text
  int32_t number;
};

/// The first `<extra_id_N>`, N in 0..99 without leading zeros, at or after `from`.
std::optional<FoundSentinel> find_sentinel(std::string_view text, size_t from) {
  for (size_t at = text.find(kSentinelStart, from); at != std::string_view::npos;
       at = text.find(kSentinelStart, at + 1)) {
    size_t end = at + kSentinelStart.size();
    const size_t first_digit = end;
    int32_t number = 0;
    while (end < text.size() && end - first_digit < 2 && text[end] >= '0' && text[end] <= '9') {
      number = number * 10 + (text[end++] - '0');
    }
    const bool leading_zero = end - first_digit == 2 && text[first_digit] == '0';
    if (end == first_digit || leading_zero || end >= text.size() || text[end] != '>') continue;
    return FoundSentinel{at, end + 1, number};
  }
  return std::nullopt;
}

}  // namespace

struct Tokenizer::Parts {
  std::string path, bytes, hash;
  int32_t num_pieces = 0, vocab_size = 0;
  SentencePieceProcessor processor;
  // The same model without the space that SentencePiece puts before a text; made when needed.
  mutable std::once_flag unprefixed_once;
  mutable SentencePieceProcessor unprefixed;

  const SentencePieceProcessor& continuing() const {
    std::call_once(unprefixed_once, [&] {
      // Protocol buffers merge repeated messages: normalizer_spec { add_dummy_prefix: false }.
      const std::string changed = bytes + std::string("\x1a\x02\x18\x00", 4);
      unprefixed.LoadFromSerializedProto(changed).IgnoreError();
    });
    return unprefixed;
  }

  /// Encodes text without sentinels. `continues`: it goes on right after other text or a sentinel.
  void encode_plain(std::string_view text, bool continues, std::vector<int32_t>& ids) const {
    std::vector<int> part;
    bool after_space = false;
    while (!text.empty()) {
      const size_t size = text.size() <= kPartBytes ? text.size() : part_border(text, kPartBytes);
      const bool prefix = !continues || is_space(text.front()) || after_space;
      const auto& encoder = prefix ? processor : continuing();
      const auto status = encoder.Encode(text.substr(0, size), &part);
      if (!status.ok()) throw runtime_failure(format("cannot encode text: {}", status.message()));
      ids.insert(ids.end(), part.begin(), part.end());
      after_space = is_space(text[size - 1]);
      continues = true;
      text.remove_prefix(size);
    }
  }

  /// Appends the text of pieces that follow other text (`continues`) or start it.
  void decode_plain(std::vector<std::string_view>& pieces, bool continues,
                    std::string& text) const {
    if (pieces.empty()) return;
    if (continues) pieces.insert(pieces.begin(), kMark);
    std::string part;
    const auto status = processor.Decode(pieces, &part);
    if (!status.ok()) throw runtime_failure(format("cannot decode ids: {}", status.message()));
    text += std::string_view(part).substr(continues ? kMark.size() : 0);
    pieces.clear();
  }

  /// Throws unless the special ids are T5's; finds out whether the file holds the sentinels.
  void check_ids() {
    if (processor.pad_id() != kPadId || processor.eos_id() != kEosId ||
        processor.unk_id() != kUnknownId) {
      throw usage_error(
          format("special ids are not T5's: pad {}, eos {}, unk {} instead of 0, 1, 2",
                 processor.pad_id(), processor.eos_id(), processor.unk_id()),
          path, "make a model with `switchyard tokenizer train`");
    }
    num_pieces = processor.GetPieceSize();
    int32_t held = 0;
    for (int32_t i = 0; i < kNumSentinels; ++i) {
      for (const char* prefix : {"", "\u2581"}) {
        const int id = processor.PieceToId(prefix + sentinel_text(i));
        if (id == kUnknownId) continue;
        ++held;
        if (id == num_pieces - 1 - i) continue;
        throw usage_error(format("the model holds {} as id {} instead of {}", sentinel_text(i), id,
                                 num_pieces - 1 - i),
                          path, "use a model whose sentinels are the highest ids, as T5's");
      }
    }
    if (held != 0 && held != kNumSentinels) {
      throw usage_error(format("the model holds {} of the {} sentinels", held, kNumSentinels), path,
                        "use a model with all of them or none");
    }
    vocab_size = num_pieces + (held ? 0 : kNumSentinels);
  }
};

Tokenizer::Tokenizer(const std::string& path) : parts_(std::make_unique<Parts>()) {
  parts_->path = path;
  parts_->bytes = std::string(MappedFile(path).text());
  parts_->hash = to_hex(hash64(parts_->bytes));
  std::string damage = find_model_damage(parts_->bytes);
  if (damage.empty()) {
    const auto status = parts_->processor.LoadFromSerializedProto(parts_->bytes);
    if (!status.ok() || parts_->bytes.empty()) damage = "it does not parse";
  }
  if (!damage.empty()) {
    throw damaged_error(format("not a sound SentencePiece model: {}", damage), path,
                        "copy it again or train a new one with `switchyard tokenizer train`");
  }
  parts_->check_ids();
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

int32_t Tokenizer::vocab_size() const { return parts_->vocab_size; }
int32_t Tokenizer::num_pieces() const { return parts_->num_pieces; }
const std::string& Tokenizer::hash() const { return parts_->hash; }
const std::string& Tokenizer::path() const { return parts_->path; }
const std::string& Tokenizer::model_bytes() const { return parts_->bytes; }

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  encode(text, ids);
  return ids;
}

void Tokenizer::encode(std::string_view text, std::vector<int32_t>& ids) const {
  size_t begin = 0;
  while (const auto found = find_sentinel(text, begin)) {
    parts_->encode_plain(text.substr(begin, found->begin - begin), begin > 0, ids);
    ids.push_back(sentinel_id(found->number));
    begin = found->end;
  }
  parts_->encode_plain(text.substr(begin), begin > 0, ids);
}

void Tokenizer::encode_document(std::string_view text, std::vector<int32_t>& ids) const {
  parts_->encode_plain(text, false, ids);
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  std::vector<std::string_view> pieces;
  bool continues = false;
  for (const int32_t id : ids) {
    if (is_sentinel(id)) {
      parts_->decode_plain(pieces, continues, text);
      text += sentinel_text(vocab_size() - 1 - id);
      continues = true;
    } else {
      const bool known = id >= 0 && id < parts_->num_pieces;
      pieces.push_back(parts_->processor.IdToPiece(known ? id : kUnknownId));
    }
  }
  parts_->decode_plain(pieces, continues, text);
  return text;
}

std::string Tokenizer::piece(int32_t id) const {
  if (is_sentinel(id)) return sentinel_text(vocab_size() - 1 - id);
  if (id < 0 || id >= vocab_size()) {
    throw usage_error(format("id {} is not in the vocabulary", id), path(),
                      format("give ids from 0 to {}", vocab_size() - 1));
  }
  return parts_->processor.IdToPiece(id);
}

}  // namespace switchyard
