// The splits of an output of prepare(): which document goes where, what stands in their
// descriptions, how far they have come.
#pragma once

#include <optional>
#include <string>

#include "data/encoding_pipeline.h"
#include "data/manifest.h"
#include "data/prepare.h"
#include "data/prepare_state.h"
#include "data/prepared_writer.h"
#include "text/tokenizer.h"

namespace switchyard {

/// Not thread-safe. The tokenizer must outlive it.
class SplitWriters {
 public:
  SplitWriters(std::string folder, const Tokenizer& tokenizer, const PrepareOptions& options);

  /// Takes up what another process wrote here. Throws Error(kDamaged) if it is not what `state`
  /// tells of.
  void take_up(const PrepareState& state);
  void add(const EncodedBatch& batch);
  /// Notes how far it has come: what was added, and `state`, whose splits are filled in.
  void save(PrepareState& state);
  /// Closes all. `summary.read` goes into the descriptions, which become part of `summary`.
  void finish(const PrepareOptions& options, PrepareSummary& summary);

 private:
  class Split {
   public:
    Split(const std::string& folder, const Tokenizer& tokenizer, uint64_t shard_tokens);
    PreparedWriter& writer() { return writer_; }
    Manifest finish(const std::string& name, const Tokenizer& tokenizer,
                    const PrepareOptions& options, const ReadCounts& read);

   private:
    std::string folder_;
    PreparedWriter writer_;
  };

  std::string folder_;
  const Tokenizer& tokenizer_;
  Split train_;
  std::optional<Split> validation_;
};

}  // namespace switchyard
