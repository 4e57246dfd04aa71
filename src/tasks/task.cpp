#include "tasks/task.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/toml_tables.h"
#include "tasks/ready_tasks.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

constexpr int64_t kMostTokens = 1 << 20;

/// The names in [fields] and [labels] become fields of the list, so that it reads and checks them.
TaskConfig read_config(const std::string& text, const std::string& source) {
  TaskConfig config;
  for (const std::string& name : toml_table_keys(text, "fields")) config.fields[name];
  for (const std::string& name : toml_table_keys(text, "labels")) config.labels[name];
  FieldList fields;
  config.list_fields(fields);
  fields.read_toml(text, source);
  return config;
}

std::vector<RecordPath> optional_path(const std::string& text, const std::string& where) {
  if (text.empty()) return {};
  return {RecordPath(text, where)};
}

}  // namespace

void TaskConfig::Source::list_fields(FieldList& list) {
  list.text("files", &files, "files that the task is made for");
  list.choice("format", &format, {"jsonl", "json", "tsv"},
              "a JSON value a line, one value, or columns");
  list.text("records", &records,
            "path of the records in a JSON value, as data[].paragraphs[].qas[]");
  list.text("columns", &columns,
            "tsv: names of the columns, with commas; empty: the first line has them");
  list.text("skip_without", &skip_without, "records without a value at this path are passed over");
  list.choice("on_damage", &on_damage, {"stop", "skip"}, "at an example that cannot be read");
}

void TaskConfig::Text::list_fields(FieldList& list) {
  list.text("input", &input, "text with {field} in it");
  list.text("target", &target, "text with {field} in it");
  list.text("references", &references, "field: the texts that count as right; empty: the target");
  list.text("group", &group, "field: examples that count together in metrics");
  list.text("context", &context, "field: what a metric needs besides the references");
  list.text("train_if", &train_if,
            "field: only examples for which it is true or True are trained on");
  list.text("train_each", &train_each,
            "field: a list, each text of which is the target of an example of "
            "its own in training");
  list.flag("collapse", &collapse, "one space for each run of white space of the input");
}

void TaskConfig::Lengths::list_fields(FieldList& list) {
  list.integer("input", &input, 1, kMostTokens, "tokens of the input, EOS included");
  list.integer("target", &target, 1, kMostTokens, "tokens of the target, EOS included");
}

void TaskConfig::Mixture::list_fields(FieldList& list) {
  list.number("weight", &weight, -1, 1e12,
              "share in a mixture; -1: the number of its examples of training");
  list.integer("max_examples", &max_examples, 0, int64_t{1} << 40,
               "most examples that count; 0: all");
}

void TaskConfig::list_fields(FieldList& list) {
  struct Texts {
    std::map<std::string, std::string>& values;
    const char* help;
    void list_fields(FieldList& inner) {
      for (auto& [name, value] : values) inner.text(name, &value, help);
    }
  };
  struct Flags {
    std::map<std::string, bool>& values;
    void list_fields(FieldList& inner) {
      for (const Metric& metric : switchyard::metrics()) {
        inner.flag(metric.name, &values[metric.name], metric.help);
      }
    }
  };
  list.text("description", &description, "what the task is");
  list.section("source", source);
  Texts names{fields, "path | step | step"}, classes{labels, "text of the class"};
  list.section("fields", names);
  list.section("labels", classes);
  list.section("text", text);
  Flags flags{metrics};
  list.section("metrics", flags);
  list.section("lengths", lengths);
  list.section("mixture", mixture);
}

Task::Task(const std::string& toml, const std::string& source)
    : name_(std::filesystem::path(source).stem()), config_(read_config(toml, source)) {
  for (const auto& [name, rule] : config_.fields) {
    rules_[name] = parse_field_rule(rule, format("{}, fields.{}", source, name));
  }
  for (const auto& [raw, text] : config_.labels) {
    if (std::find(labels_.begin(), labels_.end(), text) == labels_.end()) labels_.push_back(text);
  }
  records_ = optional_path(config_.source.records, source + ", source.records");
  skip_without_ = optional_path(config_.source.skip_without, source + ", source.skip_without");
  const auto read_template = [&](const char* key, const std::string& text) {
    const std::string where = format("{}, {}", source, key);
    if (text.empty()) throw usage_error(format("no {}", key), source, "give the text of it");
    TextTemplate made(text, where);
    for (const std::string& field : made.fields()) check_field(key, field, source);
    return made;
  };
  input_ = read_template("text.input", config_.text.input);
  target_ = read_template("text.target", config_.text.target);
  const TaskConfig::Text& text = config_.text;
  for (const auto& [key, field] :
       {std::pair{"text.references", &text.references}, std::pair{"text.group", &text.group},
        std::pair{"text.context", &text.context}, std::pair{"text.train_if", &text.train_if},
        std::pair{"text.train_each", &text.train_each}}) {
    if (!field->empty()) check_field(key, *field, source);
  }
}

void Task::check_field(const std::string& key, const std::string& name,
                       const std::string& source) const {
  if (rules_.contains(name)) return;
  std::vector<std::string> names;
  for (const auto& [known, rule] : rules_) names.push_back(known);
  const std::string near = nearest_name(name, names);
  throw usage_error(
      format("{} names the unknown field '{}'", key, name), source,
      near.empty() ? "give it a line in [fields]" : format("did you mean '{}'?", near));
}

std::vector<std::string> Task::metric_names() const {
  std::vector<std::string> names;
  for (const auto& [name, wanted] : config_.metrics) {
    if (wanted) names.push_back(name);
  }
  return names;
}

Example Task::example(FieldValues& values, ExampleUse use) const {
  Example made{input_.fill(values), {}, {}};
  if (config_.text.collapse) made.input = collapsed(made.input);
  if (use == ExampleUse::kPrediction) return made;
  made.target = target_.fill(values);
  made.wanted.references = {made.target};
  if (!config_.text.references.empty()) {
    made.wanted.references = values.texts(config_.text.references);
  }
  if (!config_.text.group.empty()) made.wanted.group = values.text(config_.text.group);
  if (!config_.text.context.empty()) made.wanted.context = values.text(config_.text.context);
  return made;
}

std::vector<Example> Task::examples(const nlohmann::json& record, ExampleUse use,
                                    const std::string& where) const {
  const Scopes outer = {&record};
  const std::vector<Scopes> places =
      records_.empty() ? std::vector<Scopes>{outer} : records_[0].places(outer);
  if (places.empty()) {
    throw usage_error(format("no records at {}", records_[0].text()), where,
                      "see what the task reads in its [source]");
  }
  std::vector<Example> made;
  for (const Scopes& scopes : places) {
    if (!skip_without_.empty() && !skip_without_[0].find(scopes)) continue;
    const std::string place =
        places.size() == 1 ? where : format("{}, record {}", where, &scopes - places.data() + 1);
    FieldValues values(rules_, config_.labels, scopes, place);
    const bool training = use == ExampleUse::kTraining;
    if (training && !config_.text.train_if.empty()) {
      const std::string meant = values.text(config_.text.train_if);
      if (meant != "true" && meant != "True") continue;
    }
    const Example whole = example(values, use);
    if (!training || config_.text.train_each.empty()) {
      made.push_back(whole);
      continue;
    }
    for (const std::string& text : values.texts(config_.text.train_each)) {
      made.push_back(whole);
      made.back().target = text;
      made.back().wanted.references = {text};
    }
  }
  return made;
}

std::vector<std::string> ready_tasks() {
  std::vector<std::string> names;
  for (const ReadyTask& task : kReadyTasks) names.emplace_back(task.name);
  return names;
}

Task load_task(const std::string& name_or_path) {
  for (const ReadyTask& task : kReadyTasks) {
    if (name_or_path == task.name)
      return Task(std::string(task.toml), format("{}.toml", task.name));
  }
  if (name_or_path.ends_with(".toml") || name_or_path.find('/') != name_or_path.npos) {
    return Task(read_file(name_or_path), name_or_path);
  }
  const std::string near = nearest_name(name_or_path, ready_tasks());
  throw usage_error(format("unknown task '{}'", name_or_path), "",
                    near.empty() ? "`switchyard task list` lists them; a file's name ends in .toml"
                                 : format("did you mean '{}'?", near));
}

}  // namespace switchyard
