#include "tasks/steps.h"

#include <cctype>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/format.h"
#include "tasks/metrics/numbers.h"
#include "tasks/wsc.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

using nlohmann::json;

/// The same to a text, or to each of a list.
template <class Change>
json to_each(const json& value, Change change) {
  if (!value.is_array()) return change(text_of(value));
  json all = json::array();
  for (const json& element : value) all.push_back(change(text_of(element)));
  return all;
}

const json& list_of(const json& value) {
  if (!value.is_array()) throw usage_error("no list, where the task takes one");
  return value;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  if (from.empty()) return text;
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

/// What \s is in RE2, which T5's preprocessing uses.
bool is_re2_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'; }

std::string padded_punctuation(std::string_view text) {
  std::string spaced;
  for (const char c : text) {
    if (std::ispunct(static_cast<unsigned char>(c)) && static_cast<unsigned char>(c) < 0x80) {
      spaced += ' ';
      spaced += c;
      spaced += ' ';
    } else {
      spaced += c;
    }
  }
  return collapsed(spaced);
}

json collapse(const json& value, const StepContext&) {
  return to_each(value, [](const std::string& text) { return collapsed(text); });
}
json pad_punctuation(const json& value, const StepContext&) {
  return to_each(value, [](const std::string& text) { return padded_punctuation(text); });
}
json lower(const json& value, const StepContext&) {
  return to_each(value,
                 [](const std::string& text) { return encode_utf8(to_lower(decode_utf8(text))); });
}
json trimmed(const json& value, const StepContext&) {
  return to_each(value, [](const std::string& text) { return std::string(trim(text)); });
}
json replace(const json& value, const StepContext& context) {
  return to_each(value, [&](const std::string& text) {
    return replaced(text, context.arguments[0], context.arguments[1]);
  });
}

json after(const json& value, const StepContext& context) {
  return to_each(value, [&](const std::string& text) {
    const size_t at = text.rfind(context.arguments[0]);
    if (at == text.npos) {
      throw usage_error(format("'{}' is not in the text", context.arguments[0]));
    }
    return std::string(trim(std::string_view(text).substr(at + context.arguments[0].size())));
  });
}

json label(const json& value, const StepContext& context) {
  const std::string raw = text_of(value);
  const auto found = context.labels.find(raw);
  if (found != context.labels.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [name, text] : context.labels) known.push_back(name);
  throw usage_error(format("'{:.60}' is no label (known: {})", raw, fmt::join(known, ", ")));
}

json negate(const json& value, const StepContext&) {
  if (!value.is_boolean()) throw usage_error("neither true nor false");
  return !value.get<bool>();
}

/// As T5 makes classes of STS-B's scores: to the nearest multiple, halves to the even one, one
/// digit.
json nearest(const json& value, const StepContext& context) {
  const double step = number_of(context.arguments[0]);
  if (!(step > 0)) throw usage_error(format("nearest({}) needs a number", context.arguments[0]));
  const auto steps_of_one = static_cast<float>(std::round(1 / step));
  const auto number = value.is_number() ? std::optional(value.get<float>()) : [&] {
    const std::string text = text_of(value);
    const double parsed = number_of(text);
    const bool is_number = parsed != -1 || trim(text) == "-1";
    return is_number ? std::optional(static_cast<float>(parsed)) : std::nullopt;
  }();
  if (!number) throw usage_error(format("'{:.60}' is no number", text_of(value)));
  return format("{:.1f}", std::nearbyint(*number * steps_of_one) / steps_of_one);
}

json first(const json& value, const StepContext&) {
  if (list_of(value).empty()) throw usage_error("an empty list");
  return value.front();
}
json join(const json& value, const StepContext& context) {
  std::string joined;
  for (size_t i = 0; i < list_of(value).size(); ++i) {
    joined += (i ? context.arguments[0] : "") + text_of(value[i]);
  }
  return joined;
}
json unique(const json& value, const StepContext&) {
  std::set<std::string> texts;
  for (const json& element : list_of(value)) texts.insert(text_of(element));
  return texts;
}

struct Choice {
  std::string label, text;
};

std::vector<Choice> choices_of(const json& value) {
  std::vector<Choice> choices;
  if (value.is_object() && value.contains("text") && value.contains("label") &&
      value["text"].is_array() && value["label"].is_array() &&
      value["text"].size() == value["label"].size()) {  // two lists, as Hugging Face's data sets
    for (size_t i = 0; i < value["text"].size(); ++i) {
      choices.push_back({text_of(value["label"][i]), text_of(value["text"][i])});
    }
    return choices;
  }
  for (const json& choice : list_of(value)) {
    if (!choice.is_object() || !choice.contains("text") || !choice.contains("label")) {
      throw usage_error("a choice without text and label");
    }
    choices.push_back({text_of(choice["label"]), text_of(choice["text"])});
  }
  return choices;
}

json options(const json& value, const StepContext&) {
  std::string text;
  char letter = 'A';
  for (const Choice& choice : choices_of(value)) {
    text += format("{}({}) {}", text.empty() ? "" : " ", letter++, choice.text);
  }
  return text;
}

json choice(const json& value, const StepContext& context) {
  const auto wanted = context.look_up(context.arguments[0]);
  if (!wanted) throw usage_error(format("no field '{}'", context.arguments[0]));
  for (const Choice& one : choices_of(value)) {
    if (one.label == text_of(*wanted)) return one.text;
  }
  throw usage_error(format("no choice has the label '{:.60}'", text_of(*wanted)));
}

/// Texts of [{start, end}], both included and counted in code points.
json spans(const json& value, const StepContext& context) {
  const auto source = context.look_up(context.arguments[0]);
  if (!source) throw usage_error(format("no field '{}'", context.arguments[0]));
  const std::u32string text = decode_utf8(text_of(*source));
  json all = json::array();
  for (const json& span : list_of(value)) {
    if (!span.is_object() || !span.contains("start") || !span.contains("end") ||
        !span["start"].is_number_unsigned() || !span["end"].is_number_unsigned()) {
      throw usage_error("a span without start and end");
    }
    const auto begin = span["start"].get<uint64_t>(), end = span["end"].get<uint64_t>();
    if (begin > end || end >= text.size()) {
      throw usage_error(format("the span {} to {} is not within the text", begin, end));
    }
    all.push_back(encode_utf8(std::u32string_view(text).substr(begin, end + 1 - begin)));
  }
  return all;
}

/// ReCoRD's highlights as sentences: a period goes before one unless there is a mark already.
json highlights(const json& value, const StepContext&) {
  constexpr std::string_view kMark = "\n@highlight\n";
  return to_each(value, [&](std::string text) {
    for (size_t at = text.find(kMark); at != text.npos; at = text.find(kMark, at)) {
      const bool ended =
          at > 0 && std::string_view(".?!\"'").find(text[at - 1]) != std::string_view::npos;
      text.replace(at, kMark.size(), ended ? " " : ". ");
    }
    return text;
  });
}

/// WebQuestions' (list (description "a b") (description c)).
json descriptions(const json& value, const StepContext&) {
  constexpr std::string_view kBegin = "(description ";
  const std::string text = text_of(value);
  json all = json::array();
  for (size_t at = text.find(kBegin); at != text.npos; at = text.find(kBegin, at)) {
    at += kBegin.size();
    const bool quoted = at < text.size() && text[at] == '"';
    if (quoted) ++at;
    const size_t end = text.find(quoted ? "\")" : ")", at);
    if (end == text.npos) throw usage_error("a description without an end");
    all.push_back(replaced(text.substr(at, end - at), "\\\"", "\""));
    at = end;
  }
  if (all.empty()) throw usage_error("no (description ...)");
  return all;
}

json mark_pronoun(const json& value, const StepContext& context) {
  const auto index = context.look_up(context.arguments[0]);
  const auto pronoun = context.look_up(context.arguments[1]);
  if (!index || !index->is_number_unsigned() || !pronoun) {
    throw usage_error("no index and text of the pronoun");
  }
  return marked_pronoun(text_of(value), index->get<size_t>(), text_of(*pronoun));
}

}  // namespace

std::string collapsed(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (!is_re2_space(c)) {
      result += c;
    } else if (result.empty() || result.back() != ' ') {
      result += ' ';
    }
  }
  return result;
}

std::string text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean() || value.is_number()) return value.dump();
  throw usage_error(value.is_null() ? "empty (null)" : "a list or an object instead of one value");
}

const std::vector<Step>& steps() {
  static const std::vector<Step> all = {
      {"after", 1, "what follows the last of a text", after},
      {"choice", 1, "of choices the text of the one whose label is in the field named", choice},
      {"collapse", 0, "one space for each run of white space", collapse},
      {"descriptions", 0, "the list in (list (description \"a\") (description b))", descriptions},
      {"first", 0, "the first of a list", first},
      {"highlights", 0, "ReCoRD's @highlight lines as sentences", highlights},
      {"join", 1, "a list as one text, with the text given between its parts", join},
      {"label", 0, "what [labels] has for the value", label},
      {"lower", 0, "lower case", lower},
      {"mark_pronoun", 2, "*word* around the pronoun of the index and text in the fields named",
       mark_pronoun},
      {"nearest", 1, "the nearest multiple, with one digit", nearest},
      {"negate", 0, "true for false, false for true", negate},
      {"options", 0, "choices as (A) ... (B) ...", options},
      {"pad_punctuation", 0, "spaces around punctuation, then collapse; T5's for SQuAD",
       pad_punctuation},
      {"replace", 2, "the second text for each of the first", replace},
      {"spans", 1, "texts of a list of start and end in the text of the field named", spans},
      {"trim", 0, "without white space at both ends", trimmed},
      {"unique", 0, "a list sorted, each text once", unique},
  };
  return all;
}

const Step& find_step(const std::string& name, const std::string& where) {
  std::vector<std::string> names;
  for (const Step& step : steps()) {
    if (step.name == name) return step;
    names.push_back(step.name);
  }
  const std::string near = nearest_name(name, names);
  throw usage_error(format("unknown step '{}'", name), where,
                    near.empty() ? format("choose among {}", fmt::join(names, ", "))
                                 : format("did you mean '{}'?", near));
}

}  // namespace switchyard
