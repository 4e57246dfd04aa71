#include "model/moe/routing_checks.h"

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "model/moe/profile.h"
#include "model/moe/router.h"

namespace switchyard {
namespace {

const char* const kEncoderOnly =
    "set model.moe.decoder_layers = \"none\" (attention_decoder_layers too) or choose another";

void check_decoder(const MoeConfig& config, const std::string& where) {
  if (config.router == "expert_choice") {
    throw usage_error(
        "model.moe.router = \"expert_choice\" cannot route a decoder: which tokens an expert takes "
        "depends on later tokens",
        where, kEncoderOnly);
  }
  if (config.batch_prioritized) {
    throw usage_error(
        "model.moe.batch_prioritized cannot route a decoder: places depend on later tokens", where,
        "set model.moe.decoder_layers = \"none\" (attention_decoder_layers too) or "
        "batch_prioritized = false");
  }
  if (!router_kind(config).causal) {
    log_warning(
        "model.moe.router = \"{}\" in a decoder: a later token can take an earlier one's "
        "place, so training sees what decoding cannot",
        config.router);
  }
}

void check_options(const MoeConfig& config, const RouterKind& kind, const std::string& where) {
  const auto refuse = [&](const std::string& option, const std::string& hint) {
    throw usage_error(
        format("model.moe.{} does not apply to model.moe.router = \"{}\"", option, config.router),
        where, hint);
  };
  if (config.batch_prioritized && !kind.prioritized) {
    refuse("batch_prioritized", "its places do not go by the tokens' order: set it to false");
  }
  if (config.exploration == "sample" && !kind.draws_expert) {
    refuse("exploration = \"sample\"", "use switch or switch_max, or another exploration");
  }
  if (!kind.learned && config.exploration == "input_dropout") {
    refuse("exploration = \"input_dropout\"", "nothing is learned: leave exploration out");
  }
  if (!kind.learned && config.z_loss > 0) refuse("z_loss", "it has no logits: set it to 0");
  if (config.router == "expert_choice" && config.capacity == "dropless") {
    refuse("capacity = \"dropless\"",
           "how many tokens an expert takes is its capacity: give factors");
  }
}

/// Settings that were changed but that nothing reads.
void warn_unused(const MoeConfig& config, const RouterKind& kind) {
  const MoeConfig defaults;
  const RoutingRules rules = routing_rules(config);
  const auto warn = [](bool changed, bool read, const char* key, const char* reader) {
    if (changed && !read) log_warning("model.moe.{} has no effect: only {} reads it", key, reader);
  };
  warn(config.second_choice != defaults.second_choice, config.router == "top2", "second_choice",
       "router = \"top2\"");
  warn(config.second_threshold != defaults.second_threshold,
       config.router == "top2" &&
           (config.second_choice == "random" || config.second_choice == "threshold"),
       "second_threshold", "second_choice = \"random\" or \"threshold\" of router = \"top2\"");
  warn(config.ntlb_top_k != defaults.ntlb_top_k, config.router == "ntlb", "ntlb_top_k",
       "router = \"ntlb\"");
  warn(config.hash != defaults.hash, config.router == "hash", "hash", "router = \"hash\"");
  warn(config.gate != defaults.gate, kind.learned, "gate", "a router that learns");
  warn(config.sample_temperature != defaults.sample_temperature, config.exploration == "sample",
       "sample_temperature", "exploration = \"sample\"");
  warn(config.input_dropout != defaults.input_dropout, config.exploration == "input_dropout",
       "input_dropout", "exploration = \"input_dropout\"");
  warn(config.jitter != defaults.jitter, config.exploration == "jitter" && kind.learned, "jitter",
       "exploration = \"jitter\" of a router that learns");
  warn(config.balance_loss != defaults.balance_loss, kind.balanced, "balance_loss",
       "a router whose load is not even by itself");
  warn(config.expert_capacity != defaults.expert_capacity,
       rules.capacity == CapacityRule::kAbsolute, "expert_capacity", "capacity = \"absolute\"");
  const char* const attention = "attention_experts other than \"none\"";
  const bool in_attention = config.attention_experts != "none";
  warn(config.attention_encoder_layers != defaults.attention_encoder_layers, in_attention,
       "attention_encoder_layers", attention);
  warn(config.attention_decoder_layers != defaults.attention_decoder_layers, in_attention,
       "attention_decoder_layers", attention);
  warn(config.attention_d_ff != defaults.attention_d_ff, config.attention_experts == "feed_forward",
       "attention_d_ff", "attention_experts = \"feed_forward\"");
  const bool factors =
      rules.capacity == CapacityRule::kFloor || rules.capacity == CapacityRule::kHalfEven;
  warn(config.capacity_factor_train != defaults.capacity_factor_train, factors,
       "capacity_factor_train", "capacity = \"factor\"");
  warn(config.capacity_factor_eval != defaults.capacity_factor_eval, factors,
       "capacity_factor_eval", "capacity = \"factor\"");
  warn(config.group_sequences != defaults.group_sequences,
       rules.group_sequences == config.group_sequences, "group_sequences",
       "a profile other than \"hf\"");
}

void check_profile(const MoeConfig& config, const std::string& where) {
  if (config.profile != "hf") return;
  if (config.router != "switch" || config.batch_prioritized) {
    throw usage_error(
        format("model.moe.profile = \"hf\" has the plain switch router only, not \"{}\"{}",
               config.router, config.batch_prioritized ? " by priority" : ""),
        where, "choose another profile, or router = \"switch\" and batch_prioritized = false");
  }
  if (config.gate != "probability") {
    throw usage_error(
        format("model.moe.profile = \"hf\" has p as its gate, not \"{}\"", config.gate), where,
        "choose another profile, or gate = \"probability\"");
  }
  if (config.attention_experts != "none") {
    throw usage_error("model.moe.profile = \"hf\" has no experts in attention", where,
                      "choose another profile, or attention_experts = \"none\"");
  }
}

}  // namespace

void check_routing(const MoeConfig& config, bool in_decoder, const std::string& where) {
  const RouterKind& kind = router_kind(config);
  check_profile(config, where);
  check_options(config, kind, where);
  if (in_decoder) check_decoder(config, where);
  warn_unused(config, kind);
  if (config.router == "top2" && config.num_experts < 2) {
    throw usage_error("model.moe.router = \"top2\" needs two experts", where,
                      "raise model.moe.num_experts or use router = \"switch\"");
  }
}

}  // namespace switchyard
