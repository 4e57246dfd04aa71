// Text <-> token ids with a SentencePiece model and T5's conventions: pad 0, eos 1, unk 2, and 100
// sentinels `<extra_id_0>`.. that mark hidden spans. T5's model files hold only the ordinary
// pieces; the sentinels are the 100 ids above them, counted down from the top: <extra_id_0> is the
// highest. Model files that hold the sentinels as pieces (mT5's) must have them in those places.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

constexpr int32_t kPadId = 0;
constexpr int32_t kEosId = 1;
constexpr int32_t kUnknownId = 2;
constexpr int32_t kNumSentinels = 100;

/// Movable. All const functions are thread-safe.
class Tokenizer {
 public:
  /// Reads a SentencePiece model. Throws Error(kUsage) if there is none or its special ids are not
  /// T5's, Error(kDamaged) if the file is not a sound model.
  explicit Tokenizer(const std::string& path);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Ids of `text`, without EOS. `<extra_id_7>` in the text becomes that sentinel; white space
  /// before a sentinel is dropped. Bytes that are not UTF-8 become unknown. Memory beyond the ids
  /// is bounded whatever the text's size: long texts are encoded in parts cut at white space.
  std::vector<int32_t> encode(std::string_view text) const;
  /// The same, appended to `ids`.
  void encode(std::string_view text, std::vector<int32_t>& ids) const;
  /// Appends the ids of a training document: `<extra_id_7>` in it is ordinary text, since what a
  /// sentinel means is decided by span corruption alone.
  void encode_document(std::string_view text, std::vector<int32_t>& ids) const;

  /// Text of `ids`. Pad and EOS print nothing, sentinels print as `<extra_id_7>`, ids outside
  /// [0, vocab_size) as unknown.
  std::string decode(std::span<const int32_t> ids) const;

  /// The piece of an id in [0, vocab_size), as SentencePiece writes it ("\u2581the").
  std::string piece(int32_t id) const;

  /// All ids, sentinels included: ids are in [0, vocab_size).
  int32_t vocab_size() const;
  /// Pieces in the model file.
  int32_t num_pieces() const;
  /// Id of `<extra_id_i>`, 0 <= i < 100: vocab_size - 1 - i.
  int32_t sentinel_id(int32_t i) const { return vocab_size() - 1 - i; }
  bool is_sentinel(int32_t id) const { return id < vocab_size() && id >= first_sentinel(); }
  /// XXH3 of the model file, 16 hexadecimal digits: names the tokenizer in prepared data.
  const std::string& hash() const;
  const std::string& path() const;
  /// The model file's bytes, to be copied next to what was made with it.
  const std::string& model_bytes() const;

 private:
  int32_t first_sentinel() const { return vocab_size() - kNumSentinels; }

  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace switchyard
