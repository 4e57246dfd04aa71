// Text -> prepared data. One thread reads, many tokenize, one writes in the order of reading: the
// bytes written are the same for any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "data/manifest.h"
#include "data/record_reader.h"

namespace switchyard {

struct PrepareOptions {
  ReadOptions read;
  std::string tokenizer;            // SentencePiece model file
  std::string output;               // folder; becomes output/train and output/validation
  double validation_share = 0.01;   // of documents, in [0, 1); 0: no validation split
  uint64_t split_seed = 0;          // another seed, another split
  uint64_t shard_tokens = 1 << 27;  // of one shard, about
  bool overwrite = false;           // replace prepared data that is there
  int threads = 1;                  // that tokenize
  uint64_t save_bytes = 16 << 20;   // of text, between two notes of how far it has come
  // Once read.stop says true, prepare() ends with an Error. What was done by then stays for the
  // next call if it was noted once.
};

struct PrepareSummary {
  Manifest train;
  std::optional<Manifest> validation;
  ReadCounts read;
  uint64_t without_tokens = 0;  // documents whose characters all vanish in tokenization
  double seconds = 0;           // of this call
  uint64_t taken_up_bytes = 0;  // of read.bytes: done by a call that was cut off

  nlohmann::ordered_json to_json() const;
};

struct PrepareProgress {
  uint64_t consumed_bytes, total_bytes;  // of the input files; total 0: unknown
  uint64_t documents, tokens;
};

/// Which split a document belongs to, from its text alone: duplicates land on the same side.
bool is_validation(std::string_view text, double validation_share, uint64_t seed);

/// Prepares everything in a temporary folder next to `output` and renames it at the end. If an
/// earlier call with the same options over the same files was cut off, by read.stop or by the end
/// of its process, it goes on from where that was noted last; the bytes are the same as without.
/// Standard input is always read from its start. `progress` is called now and then. Throws Error:
/// kUsage for missing input, input without text, an output folder that holds something; kDamaged
/// for damaged compressed input; kRuntime when the disk is full or the place cannot be written.
PrepareSummary prepare(const PrepareOptions& options,
                       const std::function<void(const PrepareProgress&)>& progress = {});

}  // namespace switchyard
