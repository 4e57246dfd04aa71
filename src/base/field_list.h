// One list of fields per config struct drives everything: reading a TOML recipe, `--set key=value`,
// validation, `--print-recipe`, saving as TOML or JSON, and the table of settings that differ.
//
//   struct OptimizerConfig {
//     double learning_rate = 0.01;
//     void list_fields(FieldList& fields) {
//       fields.number("learning_rate", &learning_rate, 0, 1e3, "step size before the schedule");
//     }
//   };
//   FieldList fields;  OptimizerConfig config;
//   fields.section("optimizer", config);
//   fields.read_toml_file("recipe.toml");       // unknown keys: Error naming the nearest key
//   fields.set("optimizer.learning_rate=0.003");
//
// The list points into the struct, which must outlive it. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace switchyard {

/// Weights above 0 by path, sorted by path: `data.train = "dir"` or `[data.train] "dir" = 2.0`.
using WeightedPaths = std::vector<std::pair<std::string, double>>;

struct Field {
  std::string key;  // with its sections: "model.moe.num_experts"
  std::variant<bool*, int64_t*, double*, std::string*, WeightedPaths*> value;
  double minimum = 0, maximum = 0;   // numbers only
  std::vector<std::string> choices;  // strings only; empty: any text
  std::string help;

  /// The value as it stands in TOML: 3, 0.5, true, "text", { "a" = 1.0 }.
  std::string to_toml() const;
};

class FieldList {
 public:
  void flag(const std::string& name, bool* value, const std::string& help);
  void integer(const std::string& name, int64_t* value, int64_t minimum, int64_t maximum,
               const std::string& help);
  void number(const std::string& name, double* value, double minimum, double maximum,
              const std::string& help);
  void text(const std::string& name, std::string* value, const std::string& help);
  void choice(const std::string& name, std::string* value, std::vector<std::string> choices,
              const std::string& help);
  void paths(const std::string& name, WeightedPaths* value, const std::string& help);
  /// Adds config.list_fields() under `name.`.
  template <class Config>
  void section(const std::string& name, Config& config) {
    const std::string outer = std::exchange(prefix_, prefix_ + name + ".");
    config.list_fields(*this);
    prefix_ = outer;
  }

  /// Reads a recipe. Errors (kUsage) name file, line, key and the nearest known key.
  void read_toml_file(const std::string& path);
  void read_toml(const std::string& text, const std::string& source);
  /// One `key=value` of the command line; the value as in TOML, quotes optional for text.
  void set(const std::string& assignment);
  /// From JSON as written by to_json(). `ignore_unknown`: keys of a newer version are skipped.
  void read_json(const nlohmann::json& object, const std::string& source,
                 bool ignore_unknown = false);

  /// Complete TOML, sections in order; with each field's help as a comment if `with_help`.
  std::string to_toml(bool with_help = false) const;
  nlohmann::json to_json() const;
  const std::vector<Field>& fields() const { return fields_; }
  const Field* find(const std::string& key) const;

 private:
  void add(Field field, const std::string& name);
  Field& known(const std::string& key, const std::string& where);

  std::string prefix_;
  std::vector<Field> fields_;
};

}  // namespace switchyard
