#include "tasks/metrics/metric.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "tasks/metrics/answers.h"
#include "tasks/metrics/bleu.h"
#include "tasks/metrics/chrf.h"
#include "tasks/metrics/classes.h"
#include "tasks/metrics/correlation.h"
#include "tasks/metrics/numbers.h"
#include "tasks/metrics/rouge.h"

namespace switchyard {
namespace {

const std::string& target_of(const MetricInput& input, size_t i) {
  return input.targets[i].references.front();
}

/// Mean over the examples of a function of target and prediction, in percent.
template <class Function>
double mean_percent(const MetricInput& input, Function function) {
  double sum = 0;
  for (size_t i = 0; i < input.targets.size(); ++i) {
    sum += function(input.targets[i], input.predictions[i]);
  }
  return 100 * sum / static_cast<double>(input.targets.size());
}

Scores answer_scores(const MetricInput& input, std::string (*normalize)(std::string_view)) {
  double matches = 0, f1 = 0;
  for (size_t i = 0; i < input.targets.size(); ++i) {
    std::vector<std::string> references;
    for (const std::string& text : input.targets[i].references) {
      references.push_back(normalize(text));
    }
    const std::string prediction = normalize(input.predictions[i]);
    matches += exact_match(references, prediction);
    f1 += word_f1(references, prediction);
  }
  const double scale = 100 / static_cast<double>(input.targets.size());
  return {{"em", matches * scale}, {"f1", f1 * scale}};
}

Scores squad(const MetricInput& input) { return answer_scores(input, normalize_squad); }
Scores trivia_qa(const MetricInput& input) { return answer_scores(input, normalize_trivia_qa); }

void need_contexts(const MetricInput& input, const std::string& name) {
  for (size_t i = 0; i < input.targets.size(); ++i) {
    if (!input.targets[i].context.empty()) continue;
    throw usage_error(format("{} needs a context", name), format("example {}", i + 1),
                      "add `context`, or choose another metric");
  }
}

Scores span_squad(const MetricInput& input) {
  need_contexts(input, "span_squad");
  std::vector<std::string> answers;
  for (size_t i = 0; i < input.targets.size(); ++i) {
    answers.push_back(span_of_words(input.targets[i].context, input.predictions[i]));
  }
  return squad({input.targets, answers, input.labels});
}

Scores exact_accuracy(const MetricInput& input) {
  return {{"accuracy", mean_percent(input, [](const MetricTarget& target, const std::string& said) {
             return exact_match(target.references, said);
           })}};
}

/// What T5 calls all_match: 100 if every example is right, else 0.
Scores all_right(const MetricInput& input) {
  const double accuracy = exact_accuracy(input).front().second;
  return {{"exact_match", accuracy == 100 ? 100.0 : 0.0}};
}

Scores all_right_by_group(const MetricInput& input) {
  return mean_over_groups({"", "", all_right}, input);
}

Scores referent(const MetricInput& input) {
  need_contexts(input, "referent");
  return {{"accuracy", mean_percent(input, [](const MetricTarget& target, const std::string& said) {
             const auto names = names_referent(target.references.front(), said);
             // A prediction without words is wrong whatever is meant.
             return names && *names == (target.context == "True") ? 1.0 : 0.0;
           })}};
}

Scores number_accuracy(const MetricInput& input) {
  return {{"accuracy", mean_percent(input, [](const MetricTarget& target, const std::string& said) {
             const std::string number = final_number(said);
             const bool right =
                 std::any_of(target.references.begin(), target.references.end(),
                             [&](const std::string& text) { return final_number(text) == number; });
             return !number.empty() && right ? 1.0 : 0.0;
           })}};
}

struct Classes {
  std::vector<int> targets, predictions;
};

/// Numbers of the labels; -1 for a text that is none of them.
Classes classes_of(const MetricInput& input) {
  const auto number = [&](const std::string& text) {
    const auto found = std::find(input.labels.begin(), input.labels.end(), text);
    return found == input.labels.end() ? -1 : static_cast<int>(found - input.labels.begin());
  };
  Classes classes;
  for (size_t i = 0; i < input.targets.size(); ++i) {
    classes.targets.push_back(number(target_of(input, i)));
    classes.predictions.push_back(number(input.predictions[i]));
  }
  return classes;
}

void need_labels(const MetricInput& input, size_t least, const std::string& metric) {
  if (input.labels.size() >= least) return;
  throw usage_error(format("the metric {} needs the names of at least {} classes", metric, least),
                    "", "give the task a table [labels]");
}

Scores f1(const MetricInput& input) {
  need_labels(input, 2, "f1");
  const Classes classes = classes_of(input);
  return {{"f1", 100 * binary_f1(classes.targets, classes.predictions)}};
}

Scores macro(const MetricInput& input) {
  need_labels(input, 2, "mean_multiclass_f1");
  const Classes classes = classes_of(input);
  const auto count = static_cast<int>(input.labels.size());
  return {{format("mean_{}class_f1", count),
           100 * macro_f1(classes.targets, classes.predictions, count)}};
}

Scores matthews_score(const MetricInput& input) {
  need_labels(input, 2, "matthews");
  const Classes classes = classes_of(input);
  return {{"matthews_corrcoef", 100 * matthews(classes.targets, classes.predictions)}};
}

double correlation(const MetricInput& input,
                   double (*correlate)(std::span<const double>, std::span<const double>)) {
  std::vector<double> targets, predictions;
  for (size_t i = 0; i < input.targets.size(); ++i) {
    targets.push_back(number_of(target_of(input, i)));
    predictions.push_back(number_of(input.predictions[i]));
  }
  return 100 * correlate(targets, predictions);
}

Scores pearson_score(const MetricInput& input) {
  return {{"pearson_corrcoef", correlation(input, pearson)}};
}
Scores spearman_score(const MetricInput& input) {
  return {{"spearman_corrcoef", correlation(input, spearman)}};
}

/// As T5, which makes " . " the end of a line for rougeLsum.
std::string with_lines(std::string text) {
  for (size_t at = text.find(" . "); at != text.npos; at = text.find(" . ", at + 3)) {
    text[at + 2] = '\n';
  }
  return text;
}

Scores rouge_scores(const MetricInput& input) {
  Rouge sum;
  for (size_t i = 0; i < input.targets.size(); ++i) {
    std::vector<std::string> references;
    for (const std::string& text : input.targets[i].references) {
      references.push_back(with_lines(text));
    }
    const Rouge one = best_rouge(references, with_lines(input.predictions[i]));
    sum.rouge1 += one.rouge1;
    sum.rouge2 += one.rouge2;
    sum.rouge_l += one.rouge_l;
    sum.rouge_lsum += one.rouge_lsum;
  }
  const double scale = 100 / static_cast<double>(input.targets.size());
  return {{"rouge1", sum.rouge1 * scale},
          {"rouge2", sum.rouge2 * scale},
          {"rougeL", sum.rouge_l * scale},
          {"rougeLsum", sum.rouge_lsum * scale}};
}

template <BleuTokenizer tokenizer>
Scores bleu_score(const MetricInput& input) {
  BleuCounts counts;
  for (size_t i = 0; i < input.targets.size(); ++i) {
    counts += bleu_counts(input.targets[i].references, input.predictions[i], tokenizer);
  }
  return {{"bleu", counts.score()}};
}

template <bool with_words>
Scores chrf_score(const MetricInput& input) {
  ChrfCounts counts;
  for (size_t i = 0; i < input.targets.size(); ++i) {
    counts += chrf_counts(input.targets[i].references, input.predictions[i], with_words);
  }
  return {{with_words ? "chrf2++" : "chrf2", counts.score()}};
}

/// One group's part of an input.
struct Group {
  std::vector<MetricTarget> targets;
  std::vector<std::string> predictions;
};

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const Metric& metric : metrics()) names.push_back(metric.name);
  return names;
}

}  // namespace

const std::vector<Metric>& metrics() {
  static const std::vector<Metric> all = {
      {"accuracy", "share of predictions that equal a reference", exact_accuracy},
      {"all_by_group", "share of groups with every prediction right", all_right_by_group},
      {"bleu", "corpus BLEU, tokenizer intl (T5's)", bleu_score<BleuTokenizer::kInternational>},
      {"bleu_13a", "corpus BLEU, tokenizer 13a (sacreBLEU's default)",
       bleu_score<BleuTokenizer::k13a>},
      {"bleu_char", "corpus BLEU of characters", bleu_score<BleuTokenizer::kCharacters>},
      {"bleu_none", "corpus BLEU of words between white space", bleu_score<BleuTokenizer::kNone>},
      {"chrf", "corpus chrF2", chrf_score<false>},
      {"chrf++", "corpus chrF2++", chrf_score<true>},
      {"f1", "F1 of the second of two classes; other predictions are wrong", f1},
      {"matthews", "Matthews' correlation of classes", matthews_score},
      {"mean_multiclass_f1", "mean over classes of their F1", macro},
      {"number", "share of equal final numbers, behind #### if that is there", number_accuracy},
      {"pearson", "correlation of numbers; a text that is none counts as -1", pearson_score},
      {"referent",
       "share of right decisions whether the referent (the reference) is meant (context "
       "True or False)",
       referent},
      {"rouge", "ROUGE-1, -2, -L, -Lsum: mean of F-measures", rouge_scores},
      {"span_squad", "squad of words named by \"start: N end: N\" in the context", span_squad},
      {"spearman", "correlation of ranks of numbers; a text that is none counts as -1",
       spearman_score},
      {"squad", "exact match and F1 of words, normalized as SQuAD's", squad},
      {"trivia_qa", "exact match and F1 of words, normalized as TriviaQA's", trivia_qa},
  };
  return all;
}

const Metric& find_metric(const std::string& name) {
  for (const Metric& metric : metrics()) {
    if (metric.name == name) return metric;
  }
  const std::vector<std::string> names = metric_names();
  const std::string near = nearest_name(name, names);
  throw usage_error(format("unknown metric '{}'", name), "",
                    near.empty() ? format("choose among {}", fmt::join(names, ", "))
                                 : format("did you mean '{}'?", near));
}

Scores compute_metric(const Metric& metric, const MetricInput& input) {
  if (input.targets.size() != input.predictions.size()) {
    throw usage_error(
        format("{} targets, but {} predictions", input.targets.size(), input.predictions.size()),
        "", "give one prediction for each example, in the same order");
  }
  if (input.targets.empty()) throw usage_error("nothing to measure: no examples");
  for (size_t i = 0; i < input.targets.size(); ++i) {
    if (input.targets[i].references.empty()) {
      throw usage_error("an example without a reference", format("example {}", i + 1));
    }
  }
  return metric.compute(input);
}

std::map<std::string, Scores> scores_by_group(const Metric& metric, const MetricInput& input) {
  std::map<std::string, Group> groups;
  for (size_t i = 0; i < input.targets.size(); ++i) {
    Group& group = groups[input.targets[i].group];
    group.targets.push_back(input.targets[i]);
    group.predictions.push_back(input.predictions[i]);
  }
  std::map<std::string, Scores> scores;
  for (const auto& [name, group] : groups) {
    scores[name] = compute_metric(metric, {group.targets, group.predictions, input.labels});
  }
  return scores;
}

Scores mean_over_groups(const Metric& metric, const MetricInput& input) {
  Scores mean;
  const auto groups = scores_by_group(metric, input);
  for (const auto& [name, scores] : groups) {
    mean.resize(scores.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      mean[i].first = scores[i].first;
      mean[i].second += scores[i].second / static_cast<double>(groups.size());
    }
  }
  return mean;
}

}  // namespace switchyard
