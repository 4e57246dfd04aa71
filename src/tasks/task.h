// A task: how examples are read from the files that people have, written as text to text, and
// measured. One small TOML file each (recipes/tasks/); docs/tasks.md explains them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/field_list.h"
#include "tasks/example_text.h"
#include "tasks/metrics/metric.h"
#include "tasks/record_path.h"

namespace switchyard {

struct TaskConfig {
  std::string description;
  struct Source {
    std::string files, format = "jsonl", records, columns, skip_without, on_damage = "stop";
    void list_fields(FieldList& list);
  } source;
  std::map<std::string, std::string> fields;  // name -> "path | step | step(argument)"
  std::map<std::string, std::string>
      labels;  // value in the file -> text; sorted: numbers of classes
  struct Text {
    std::string input, target, references, group, context, train_if, train_each;
    bool collapse = false;
    void list_fields(FieldList& list);
  } text;
  std::map<std::string, bool> metrics;
  struct Lengths {
    int64_t input = 512, target = 62;
    void list_fields(FieldList& list);
  } lengths;
  struct Mixture {
    double weight = -1;
    int64_t max_examples = 0;
    void list_fields(FieldList& list);
  } mixture;

  /// All keys; of [fields] and [labels] those that are in the maps.
  void list_fields(FieldList& list);
};

/// One example as text to text.
struct Example {
  std::string input, target;
  MetricTarget wanted;  // empty without a target
};

/// What examples are made for.
enum class ExampleUse {
  kTraining,    // train_if and train_each apply
  kEvaluation,  // each example once, with all its references
  kPrediction,  // no target is looked for
};

/// Checked: paths, steps, templates and metrics are known. Thread-safe to read.
class Task {
 public:
  /// From TOML. Throws Error(kUsage) naming `source`, line, key and the nearest known name.
  Task(const std::string& toml, const std::string& source);

  const std::string& name() const { return name_; }
  const TaskConfig& config() const { return config_; }
  /// Of the classes, in the order of their numbers; empty without [labels].
  const std::vector<std::string>& labels() const { return labels_; }
  std::vector<std::string> metric_names() const;

  /// Examples of one record of a file: usually one. Throws Error(kUsage) with `where` and the
  /// field.
  std::vector<Example> examples(const nlohmann::json& record, ExampleUse use,
                                const std::string& where) const;

 private:
  Example example(FieldValues& values, ExampleUse use) const;
  void check_field(const std::string& key, const std::string& name,
                   const std::string& source) const;

  std::string name_;
  TaskConfig config_;
  std::vector<std::string> labels_;
  FieldRules rules_;
  std::vector<RecordPath> records_, skip_without_;
  TextTemplate input_, target_;
};

/// A file by its path, or a task that comes with the program by its name. Throws Error(kUsage) with
/// the nearest name for one that is not there.
Task load_task(const std::string& name_or_path);
/// Tasks that come with the program.
std::vector<std::string> ready_tasks();

}  // namespace switchyard
