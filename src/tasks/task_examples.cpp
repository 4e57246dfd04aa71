#include "tasks/task_examples.h"

#include <limits>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

constexpr size_t kMostExamples = std::numeric_limits<uint32_t>::max();  // of PackedRows

/// With EOS in the last place, whatever had to be cut off. Returns whether something was.
bool encode_within(const Tokenizer& tokenizer, const std::string& text, int64_t room,
                   std::vector<int32_t>& ids) {
  ids.clear();
  tokenizer.encode(text, ids);
  const auto most = static_cast<size_t>(room) - 1;
  const bool cut = ids.size() > most;
  if (cut) ids.resize(most);
  ids.push_back(kEosId);
  return cut;
}

}  // namespace

TaskExamples encode_examples(const Task& task, const std::string& path, ExampleUse use,
                             const Tokenizer& tokenizer, const EncodingOptions& options) {
  TaskExamples result;
  std::vector<int32_t> input, target;
  read_examples(task, path, use, [&](const Example& example) {
    result.cut_inputs += encode_within(tokenizer, example.input, options.room.inputs, input);
    result.cut_targets += encode_within(tokenizer, example.target, options.room.targets, target);
    result.ids.add(input, target);
    if (options.keep_texts) result.texts.push_back(example);
    if (result.ids.size() == kMostExamples) {
      throw usage_error(format("more than {} examples", kMostExamples), path, "split the file");
    }
    return options.max_examples == 0 || result.ids.size() < options.max_examples;
  });
  if (result.ids.size() == 0) {
    throw usage_error(format("no example of task {}", task.name()), path,
                      "`switchyard task show TASK --input FILE` shows what it reads");
  }
  return result;
}

}  // namespace switchyard
