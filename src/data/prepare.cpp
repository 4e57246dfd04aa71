#include "data/prepare.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/progress.h"
#include "data/encoding_pipeline.h"
#include "data/output_folder.h"
#include "data/prepare_state.h"
#include "data/split_writers.h"
#include "text/tokenizer.h"

namespace switchyard {
namespace {

void log_notes(const std::vector<std::string>& notes, uint64_t& logged) {
  for (const std::string& note : notes) {
    if (logged >= DocumentParser::kMaxNotes) return;
    log_warning("{}{}", note,
                ++logged == DocumentParser::kMaxNotes ? " (more are only counted)" : "");
  }
}

/// Everything that decides the bytes written, in one number; "" if the input cannot be read again.
std::string job_of(const PrepareOptions& options, const Tokenizer& tokenizer,
                   const std::vector<InputFile>& files) {
  const ReadOptions& read = options.read;
  nlohmann::json job = {read.inputs,        read.format,
                        read.documents,     read.text_key,
                        read.invalid_utf8,  read.max_document_bytes,
                        tokenizer.hash(),   options.validation_share,
                        options.split_seed, options.shard_tokens};
  for (const InputFile& file : files) {
    std::error_code code;
    const auto time = std::filesystem::last_write_time(file.path, code);
    if (code || !std::filesystem::is_regular_file(file.path, code)) return "";
    job.push_back({file.path, file.json, file.bytes, time.time_since_epoch().count()});
  }
  return to_hex(hash64(job.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
}

/// Writers in the output's temporary folder, at the point that `state` tells of; if that is not to
/// be had, at the beginning, with a new state.
std::unique_ptr<SplitWriters> open_writers(const PrepareOptions& options,
                                           const Tokenizer& tokenizer, OutputFolder& output,
                                           PrepareState& state) {
  if (output.continued()) {
    try {
      auto writers = std::make_unique<SplitWriters>(output.temporary(), tokenizer, options);
      writers->take_up(state);
      log_info("going on with what an interrupted run left: {} documents, {} tokens are done",
               format_count(static_cast<long long>(state.read.documents)),
               format_count(static_cast<long long>(state.tokens)));
      return writers;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kDamaged) throw;
      log_warning("{}; starting anew", error.what());
    }
    output.start_anew();
    PrepareState anew;
    anew.job = state.job;
    state = anew;
  }
  return std::make_unique<SplitWriters>(output.temporary(), tokenizer, options);
}

/// Everything below the output's temporary folder, from `state` on.
PrepareSummary write_splits(const PrepareOptions& options, const Tokenizer& tokenizer,
                            RecordReader& reader, std::atomic<bool>& ended, OutputFolder& output,
                            PrepareState& state,
                            const std::function<void(const PrepareProgress&)>& progress) {
  const auto writers = open_writers(options, tokenizer, output, state);
  const uint64_t total_bytes = reader.total_bytes();
  const uint64_t taken_up_bytes = state.read.bytes;
  uint64_t saved_bytes = taken_up_bytes;
  {
    EncodingPipeline pipeline(reader, options, tokenizer, state, ended);
    while (const auto batch = pipeline.next()) {
      const bool stop = options.read.stop && options.read.stop();
      if (stop && saved_bytes > 0) writers->save(state);
      if (stop) throw runtime_failure("interrupted", options.output);
      writers->add(*batch);
      ++state.batches;
      state.input_hash = batch->input_hash;
      state.tokens += batch->ids.size();
      state.read.add(batch->counts);
      state.without_tokens += batch->without_tokens;
      log_notes(batch->notes, state.notes);
      if (!state.job.empty() && state.read.bytes - saved_bytes >= options.save_bytes) {
        writers->save(state);
        saved_bytes = state.read.bytes;
      }
      if (progress) {
        progress({batch->consumed_bytes, total_bytes, state.read.documents, state.tokens});
      }
    }
  }
  if (state.tokens == 0) {
    throw usage_error("no text in the input", options.read.inputs.front(),
                      "left out: " + state.read.left_out_text());
  }
  PrepareSummary summary;
  summary.read = state.read;
  summary.taken_up_bytes = taken_up_bytes;
  summary.without_tokens = state.without_tokens;
  writers->finish(options, summary);
  return summary;
}

}  // namespace

bool is_validation(std::string_view text, double validation_share, uint64_t seed) {
  return static_cast<double>(hash64(text, seed)) < validation_share * 0x1p64;
}

nlohmann::ordered_json PrepareSummary::to_json() const {
  const auto split = [](const Manifest& manifest) -> nlohmann::ordered_json {
    return {{"documents", manifest.documents},
            {"tokens", manifest.tokens},
            {"shards", manifest.shards.size()}};
  };
  nlohmann::ordered_json object = {{"train", split(train)}};
  if (validation) object["validation"] = split(*validation);
  object["vocab_size"] = train.vocab_size;
  object["tokenizer_hash"] = train.tokenizer_hash;
  object["read"] = read.to_json();
  object["without_tokens"] = without_tokens;
  object["seconds"] = seconds;
  return object;
}

PrepareSummary prepare(const PrepareOptions& options,
                       const std::function<void(const PrepareProgress&)>& progress) {
  const auto start = std::chrono::steady_clock::now();
  const Tokenizer tokenizer(options.tokenizer);
  std::atomic<bool> ended = false;
  ReadOptions read = options.read;
  read.stop = [&] { return ended || (options.read.stop && options.read.stop()); };
  RecordReader reader(read);
  PrepareState state;
  state.job = job_of(options, tokenizer, reader.files());
  OutputFolder output(options.output, options.overwrite, [&](const std::string& left) {
    const auto found = PrepareState::read_from(left);
    if (!found || state.job.empty() || found->job != state.job) return false;
    state = *found;
    return true;
  });
  PrepareSummary summary;
  try {
    summary = write_splits(options, tokenizer, reader, ended, output, state, progress);
  } catch (const Error& error) {
    const bool stopped = options.read.stop && options.read.stop();
    const bool noted = std::filesystem::exists(output.temporary() + "/" + PrepareState::kFileName);
    if (stopped && noted) {
      output.keep();
      log_info("what was done is kept in {}: the same command goes on with it", output.temporary());
    }
    // The temporary folder is gone when the user reads this: name the place asked for.
    std::string where = error.where_part();
    if (where.starts_with(output.temporary())) {
      where.replace(0, output.temporary().size(), options.output);
    }
    throw Error(error.kind(), error.what_part(), where, error.hint_part());
  }
  output.commit();
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return summary;
}

}  // namespace switchyard
