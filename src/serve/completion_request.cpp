#include "serve/completion_request.h"

#include <random>

#include "base/error.h"
#include "base/format.h"
#include "serve/request_fields.h"

namespace switchyard {
namespace {

using Json = nlohmann::json;

/// Reads one request; what depends on several fields is seen to at the end.
class Reader {
 public:
  Reader(const Tokenizer* tokenizer, const RequestLimits& limits)
      : tokenizer_(tokenizer), limits_(limits) {}

  CompletionRequest read(std::string_view body) {
    FieldReaders readers = ignored_fields();
    readers.merge(refused_fields());
    readers.merge(output_fields());
    readers.merge(sampling_fields());
    readers.merge(answer_fields());
    read_fields(body, readers);
    if (prompt_.is_null()) throw usage_error("missing", "prompt", "give a text or token ids");
    read_prompt();
    finish();
    return std::move(request_);
  }

 private:
  /// Fields that change nothing here.
  FieldReaders ignored_fields() const {
    FieldReaders readers;
    for (const char* name :
         {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}) {
      readers[name] = [](const Json&) {};
    }
    return readers;
  }

  /// Fields that are taken only with the value that asks for nothing.
  FieldReaders refused_fields() {
    const auto zero = [](const char* name) {
      return [name](const Json& value) {
        if (read_number(value, name, -2, 2) == 0) return;
        throw usage_error("not supported", name,
                          "leave it out; `repetition_penalty` and `no_repeat_ngram` limit "
                          "repetition");
      };
    };
    return {
        {"presence_penalty", zero("presence_penalty")},
        {"frequency_penalty", zero("frequency_penalty")},
        {"echo",
         [](const Json& value) {
           if (!read_bool(value, "echo")) return;
           throw usage_error(
               "not supported: the output of an encoder-decoder does not hold its "
               "input",
               "echo", "leave it out");
         }},
        {"suffix",
         [](const Json& value) {
           if (read_text(value, "suffix").empty()) return;
           throw usage_error("not supported", "suffix",
                             "mark the place to fill by <extra_id_0> in `prompt`");
         }},
        {"logit_bias",
         [](const Json& value) {
           if (!value.is_object()) throw usage_error("not an object", "logit_bias");
           if (!value.empty()) throw usage_error("not supported", "logit_bias", "leave it out");
         }},
        {"best_of",
         [this](const Json& value) { best_of_ = read_integer(value, "best_of", 1, 128); }},
    };
  }

  FieldReaders output_fields() {
    return {
        {"max_tokens",
         [this](const Json& value) {
           request_.max_new_tokens = read_integer(value, "max_tokens", 1, limits_.output_tokens);
         }},
        {"stop", [this](const Json& value) { read_stops(value); }},
        {"prefix",
         [this](const Json& value) {
           request_.output.prefix =
               value.is_string()
                   ? need_tokenizer(tokenizer_, "prefix").encode(read_text(value, "prefix"))
                   : read_tokens(value, "prefix", tokenizer_, limits_, 1);
           if (static_cast<int64_t>(request_.output.prefix.size()) > limits_.output_tokens) {
             throw usage_error(
                 format("more tokens than the {} of an output", limits_.output_tokens), "prefix",
                 "shorten it");
           }
         }},
        {"repetition_penalty",
         [this](const Json& value) {
           request_.output.repetition_penalty = read_number(value, "repetition_penalty", 0.01, 100);
         }},
        {"no_repeat_ngram",
         [this](const Json& value) {
           request_.output.no_repeat_ngram = read_integer(value, "no_repeat_ngram", 0, 1 << 20);
         }},
    };
  }

  FieldReaders sampling_fields() {
    const auto drawn = [this](auto read) {
      return [this, read](const Json& value) {
        samples_ = true;
        read(sampling_, value);
      };
    };
    return {
        {"temperature", drawn([](SamplingOptions& sampling, const Json& value) {
           sampling.temperature = read_number(value, "temperature", 0, 100);
           if (sampling.temperature > 0 && sampling.temperature < 0.01) {
             throw usage_error("too low", "temperature", "give 0 for greedy decoding, or 0.01 on");
           }
         })},
        {"top_p", drawn([](SamplingOptions& sampling, const Json& value) {
           sampling.top_p = read_number(value, "top_p", 0, 1);
         })},
        {"top_k", drawn([](SamplingOptions& sampling, const Json& value) {
           // -1 and 0 both mean all, as elsewhere.
           sampling.top_k = std::max<int64_t>(0, read_integer(value, "top_k", -1, 1 << 30));
         })},
        {"min_p", drawn([](SamplingOptions& sampling, const Json& value) {
           sampling.min_p = read_number(value, "min_p", 0, 1);
         })},
        {"seed", drawn([this](SamplingOptions& sampling, const Json& value) {
           // Negative seeds are seeds, too.
           sampling.seed = static_cast<uint64_t>(read_integer(value, "seed", INT64_MIN, INT64_MAX));
           seeded_ = true;
         })},
        {"n",
         [this](const Json& value) {
           request_.num_outputs = read_integer(value, "n", 1, limits_.choices);
         }},
    };
  }

  FieldReaders answer_fields() {
    return {
        {"model", [this](const Json& value) { request_.model = read_text(value, "model"); }},
        {"prompt", [this](const Json& value) { prompt_ = value; }},
        {"stream", [this](const Json& value) { request_.stream = read_bool(value, "stream"); }},
        {"stream_options", [this](const Json& value) { read_stream_options(value); }},
        {"logprobs",
         [this](const Json& value) {
           request_.log_probs = read_integer(value, "logprobs", 0, kMaxLogProbs);
         }},
        {"return_token_ids",
         [this](const Json& value) {
           request_.return_token_ids = read_bool(value, "return_token_ids");
         }},
        {"routing", [this](const Json& value) { request_.routing = read_bool(value, "routing"); }},
    };
  }

  void read_stream_options(const Json& value) {
    if (!value.is_object()) throw usage_error("not an object", "stream_options");
    for (const auto& [name, option] : value.items()) {
      const std::string field = "stream_options." + name.substr(0, 80);
      if (option.is_null()) continue;
      if (name == "include_usage") {
        request_.include_usage = read_bool(option, field);
      } else if (name != "include_obfuscation" || read_bool(option, field)) {
        throw usage_error("not supported", field, "leave it out");
      }
    }
  }

  void read_stops(const Json& value) {
    const Json list = value.is_array() ? value : Json::array({value});
    if (static_cast<int64_t>(list.size()) > kMaxStops) {
      throw usage_error(format("more than {} texts", kMaxStops), "stop");
    }
    for (const Json& stop : list) {
      std::string text = read_text(stop, "stop");
      if (static_cast<int64_t>(text.size()) > kMaxStopBytes) {
        throw usage_error(format("a text of more than {} bytes", kMaxStopBytes), "stop");
      }
      if (!text.empty()) request_.stops.push_back(std::move(text));
    }
    if (!request_.stops.empty()) need_tokenizer(tokenizer_, "stop");
  }

  /// A text, a list of texts, a list of ids or a list of lists of ids.
  void read_prompt() {
    const bool many = prompt_.is_array() && !prompt_.empty() && !prompt_.front().is_number();
    if (!many) {
      request_.inputs.push_back(read_tokens(prompt_, "prompt", tokenizer_, limits_, 0));
      return;
    }
    check_choices(static_cast<int64_t>(prompt_.size()), "prompt");
    for (const Json& one : prompt_) {
      const std::string field = format("prompt[{}]", request_.inputs.size());
      request_.inputs.push_back(read_tokens(one, field, tokenizer_, limits_, 0));
    }
  }

  void check_choices(int64_t count, const char* field) const {
    if (count <= limits_.choices) return;
    throw usage_error(
        format("{} outputs, and the server makes {} in a request", count, limits_.choices), field,
        "send several requests");
  }

  void finish() {
    check_choices(request_.num_choices(), "n");
    if (best_of_ > 0 && best_of_ != request_.num_outputs) {
      throw usage_error("not supported unless it equals `n`", "best_of", "leave it out");
    }
    if (request_.include_usage && !request_.stream) {
      throw usage_error("goes with `stream`", "stream_options", "leave it out");
    }
    if (sampling_.temperature == 0) {
      if (request_.num_outputs == 1) return;
      throw usage_error("`temperature` 0 gives one output, not several", "n",
                        "leave `n` out, or sample");
    }
    if (!samples_ && request_.num_outputs == 1) return;
    if (!seeded_) sampling_.seed = std::random_device()();
    request_.sample = sampling_;
  }

  const Tokenizer* tokenizer_;
  const RequestLimits& limits_;
  CompletionRequest request_;
  Json prompt_;
  SamplingOptions sampling_;
  bool samples_ = false, seeded_ = false;
  int64_t best_of_ = 0;
};

}  // namespace

CompletionRequest parse_completion_request(std::string_view body, const Tokenizer* tokenizer,
                                           const RequestLimits& limits) {
  return Reader(tokenizer, limits).read(body);
}

}  // namespace switchyard
