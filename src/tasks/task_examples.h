// The examples of a task's file as ids.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/example_ids.h"
#include "tasks/example_reader.h"
#include "text/tokenizer.h"

namespace switchyard {

struct TaskExamples {
  ExampleIds ids;
  std::vector<Example> texts;                // of the same examples; only if asked for
  uint64_t cut_inputs = 0, cut_targets = 0;  // that were longer than the room
};

struct EncodingOptions {
  SequenceLengths room;       // of an example, EOS included; longer ones lose their end
  uint64_t max_examples = 0;  // the first ones; 0: all
  bool keep_texts = false;
};

/// Reads `path` as read_examples() does. The example's (first) target is encoded. Throws as it
/// does, and Error(kUsage) if the file holds no example.
TaskExamples encode_examples(const Task& task, const std::string& path, ExampleUse use,
                             const Tokenizer& tokenizer, const EncodingOptions& options);

}  // namespace switchyard
