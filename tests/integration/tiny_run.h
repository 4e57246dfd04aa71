// Made-up text and a recipe so small that tests can train through the real program.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/files.h"
#include "tests/integration/program.h"
#include "tests/made_up_text.h"

namespace switchyard::testing {

inline constexpr const char* kTinyRecipe = R"(
[model]
d_model = 32
d_ff = 64
d_kv = 8
num_heads = 4
num_encoder_layers = 2
num_decoder_layers = 2
vocab_size = 512
dropout = 0.1
[model.moe]
num_experts = 4
group_sequences = 4
[data]
input_length = 32
[optimizer]
warmup_steps = 10
[train]
steps = 12
batch_sequences = 8
micro_batch_sequences = 4
precision = "fp32"
log_every = 1
evaluate_every = 4
evaluate_sequences = 8
checkpoint_every = 5
)";

/// Makes recipe.toml, text.txt, spiece.model and data/ in `folder`.
inline void make_tiny_data(const TemporaryFolder& folder) {
  write_file(folder / "text.txt", made_up_text());
  write_file(folder / "recipe.toml", kTinyRecipe);
  const ProgramResult tokenizer =
      run_program({"tokenizer", "train", "--input", folder / "text.txt", "--vocab-size", "300",
                   "--output", folder / "spiece.model"});
  ASSERT_EQ(tokenizer.exit_code, 0) << tokenizer.err;
  const ProgramResult prepared = run_program({"prepare", "--input", folder / "text.txt",
                                              "--tokenizer", folder / "spiece.model", "--output",
                                              folder / "data", "--validation-share", "0.1"});
  ASSERT_EQ(prepared.exit_code, 0) << prepared.err;
}

/// The command that trains on the data of `folder`; `settings` are for --set.
inline std::vector<std::string> tiny_train_command(const TemporaryFolder& folder,
                                                   const std::string& run,
                                                   const std::vector<std::string>& settings = {},
                                                   const std::string& threads = "2") {
  std::vector<std::string> words = {"train",
                                    "--recipe",
                                    folder / "recipe.toml",
                                    "--run-dir",
                                    run,
                                    "--json",
                                    "--threads",
                                    threads,
                                    "--set",
                                    "data.train=" + (folder / "data/train"),
                                    "--set",
                                    "data.validation=" + (folder / "data/validation")};
  for (const std::string& setting : settings) {
    words.push_back("--set");
    words.push_back(setting);
  }
  return words;
}

}  // namespace switchyard::testing
