// Every task that comes with the program reads a sample in the layout that its files have, makes
// the texts that T5's preprocessing makes where T5 has the task, and names file, line and field of
// damage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/format.h"
#include "tasks/example_reader.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

struct Sample {
  std::string file, input, target;  // of the last example
  std::string sound, damaged;       // `sound` within the file replaced by `damaged`
  std::string complaint;            // where, behind the file's name
};

const std::string kNli =
    R"({"idx": 0, "premise": "P.", "hypothesis": "H.", "label": "entailment"})";
const std::string kScience =
    R"({"id": "1", "question": {"stem": "Why?", "choices": [{"text": "so", "label": "A"}, )"
    R"({"text": "no", "label": "B"}]}, "answerKey": "B"})";
const std::string kSquad =
    R"({"id": "1", "context": "Some context.", "question": "A question?", )"
    R"("answers": {"text": ["The answer.", "Another answer."], "answer_start": [0, 1]}, "lang": "en"})";
const std::string kSquadInput = "question: A question ? context: Some context . ";
const std::string kMnli =
    "index\tpromptID\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n0\t1\tg\tP "
    "\"x.\tH.\tneutral\tneutral\n";
const std::string kMnliInput = "mnli hypothesis: H. premise: P \"x.";

std::string translation(const std::string& code) {
  return R"({"id": "1", "translation": {"en": "No."}})"
         "\n" +
         format(R"({{"id": "2", "translation": {{"en": "Yes.", "{}": "übersetzt"}}}})", code);
}

std::map<std::string, Sample> samples() {
  std::map<std::string, Sample> all = {
      {"cola",
       {"gj04\t1\t\tA b.\ngj04\t0\t*\tC d.\n", "cola sentence: C d.", "unacceptable", "\t0\t",
        "\t2\t", ":2, field label"}},
      {"sst2",
       {"sentence\tlabel\nso good \t1\n", "sst2 sentence: so good ", "positive", "\t1\n", "\n",
        ":2"}},
      {"mrpc",
       {"\uFEFFQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tHe \"said.\tHe spoke.\n",
        "mrpc sentence1: He \"said. sentence2: He spoke.", "equivalent", "1\t7", "x\t7",
        ":2, field label"}},
      {"stsb",
       {"index\tsentence1\tsentence2\tscore\n0\tBig news.\tNo idea.\t1.66\n",
        "stsb sentence1: Big news. sentence2: No idea.", "1.6", "1.66", "much", ":2, field score"}},
      {"mnli", {kMnli, kMnliInput, "neutral", "neutral\n", "-\n", ":2, field label"}},
      {"mnli_matched",
       {kMnli, kMnliInput, "neutral", "sentence2", "sentenceX", ":2, field hypothesis"}},
      {"mnli_mismatched",
       {kMnli, kMnliInput, "neutral", "sentence1", "sentenceX", ":2, field premise"}},
      {"qnli",
       {"index\tquestion\tsentence\tlabel\n0\tQ?\tS.\tnot_entailment\n",
        "qnli question: Q? sentence: S.", "not_entailment", "not_", "nor_", ":2, field label"}},
      {"rte",
       {"index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n",
        "rte sentence1: A. sentence2: B.", "entailment", "A.\t", "", ":2"}},
      {"wnli",
       {"index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t0\n", "wnli sentence1: A. sentence2: B.",
        "not_entailment", "\t0\n", "\t-1\n", ":2, field label"}},
      {"boolq",
       {R"({"question": "is it", "passage": "It is.", "idx": 0, "label": true})",
        "boolq passage: It is. question: is it", "True", "\"passage\"", "\"text\"",
        ":1, field passage"}},
      {"cb",
       {kNli, "cb hypothesis: H. premise: P.", "entailment", "entailment", "none",
        ":1, field label"}},
      {"super_rte",
       {kNli, "rte hypothesis: H. premise: P.", "entailment", "\"P.\"", "null",
        ":1, field premise"}},
      {"copa",
       {R"({"premise": "P.", "choice1": "C.", "choice2": "D.", "question": "cause", "label": 1, "idx": 0})",
        "copa choice1: C. choice2: D. premise: P. question: cause", "choice2", ": 1", ": 2",
        ":1, field label"}},
      {"multirc",
       {R"({"idx": 0, "version": 1.1, "passage": {"text": "<b>Sent 1: </b>One.<br><b>Sent 2: </b>Two.", )"
        R"("questions": [{"question": "Why?", "idx": 4, "answers": [)"
        R"({"text": "So.", "idx": 0, "label": 0}, {"text": "Pie.", "idx": 1, "label": 1}]}]}})",
        "multirc question: Why? answer: Pie. paragraph: Sent 1: One. Sent 2: Two.", "True",
        "\"label\": 1", "\"label\": 5", ":1, record 2, field label"}},
      {"record",
       {R"({"idx": 1, "passage": {"text": "A saw B\n@highlight\nC too.\n@highlight\nEnd.", "entities": [)"
        R"({"start": 6, "end": 6}, {"start": 0, "end": 0}, {"start": 19, "end": 19}]}, )"
        R"("qas": [{"query": "It was @placeholder.", "idx": 2, "answers": [)"
        R"({"start": 19, "end": 19, "text": "C"}, {"start": 0, "end": 0, "text": "A"}]}]})",
        "record query: It was @placeholder. entities: A, B, C passage: A saw B. C too. End.", "C",
        "\"end\": 6", "\"end\": 600", ":1, field entities"}},
      {"wic",
       {R"({"word": "place", "sentence1": "A.", "sentence2": "B.", "idx": 0, "label": false, "start1": 1})",
        "wic sentence1: A. sentence2: B. word: place", "False", "false", "\"no\"",
        ":1, field label"}},
      {"wsc",
       {R"({"text": "Mitchell asked Tom if he could lend some money.", "target": {"span1_index": 2, )"
        R"("span1_text": "Tom", "span2_index": 4, "span2_text": "he"}, "idx": 0, "label": true})",
        "wsc: Mitchell asked Tom if *he* could lend some money.", "Tom", "\"he\"", "\"she\"",
        ":1, field text"}},
      {"squad",
       {kSquad, kSquadInput, "The answer . ", "\"text\": [", "\"texts\": [", ":1, field answer"}},
      {"xquad",
       {kSquad, kSquadInput, "The answer . ", "\"lang\"", "\"language\"", ":1, field lang"}},
      {"squad_json",
       {R"({"version": "1.1", "data": [{"title": "T", "paragraphs": [{"context": "Some context.", )"
        R"("qas": [{"id": "1", "question": "A question?", "answers": [)"
        R"({"text": "The answer.", "answer_start": 0}, {"text": "Another answer.", "answer_start": 1}]}]}]}]})",
        kSquadInput, "The answer . ", "\"question\"", "\"quest\"", ", field question"}},
      {"arc_easy",
       {kScience, "arc_easy question: Why? options: (A) so (B) no", "no", "\"answerKey\": \"B\"",
        "\"answerKey\": \"E\"", ":1, field answer"}},
      {"arc_challenge",
       {kScience, "arc_challenge question: Why? options: (A) so (B) no", "no", "\"stem\"",
        "\"stern\"", ":1, field question"}},
      {"openbookqa",
       {kScience, "openbookqa question: Why? options: (A) so (B) no", "no", "\"label\": \"A\"",
        "\"name\": \"A\"", ":1, field options"}},
      {"winogrande",
       {R"({"qID": "3", "sentence": "A or B, _ won.", "option1": "A", "option2": "B", "answer": "2"})",
        "winogrande sentence: A or B, _ won. option1: A option2: B", "option2", "\"2\"", "\"\"",
        ":1, field label"}},
      {"anli",
       {R"({"uid": "x", "context": "C.", "hypothesis": "H.", "label": "c", "reason": ""})",
        "anli hypothesis: H. premise: C.", "contradiction", "\"c\"", "\"x\"", ":1, field label"}},
      {"natural_questions",
       {R"({"question": "who", "answer": ["Ann", "Anna"]})", "nq question: who", "Ann",
        "[\"Ann\", \"Anna\"]", "[]", ":1, field answer"}},
      {"web_questions",
       {R"([{"url": "u", "utterance": "who?", )"
        R"j("targetValue": "(list (description \"Ann Lee\") (description Bo))"}])j",
        "wq question: who?", "Ann Lee", "targetValue", "answers", ", record 1, field answer"}},
      {"trivia_qa",
       {R"({"Data": [{"Question": "Who?", "QuestionId": "1", "Answer": {"Value": "Ann", )"
        R"("Aliases": ["Ann", "Anna"], "NormalizedAliases": ["ann"]}}], "Version": 1.0})",
        "trivia_qa question: Who?", "Ann", "\"Value\"", "\"Worth\"", ", field answer"}},
      {"gsm8k",
       {R"({"question": "1+1?", "answer": "It is 2.\n#### 2"})", "gsm8k question: 1+1?",
        "It is 2.\n#### 2", "\"1+1?\"", "{}", ":1, field question"}},
      {"banking77",
       {R"({"text": "My card?", "category": "card_arrival"})", "banking77 text: My card?",
        "card_arrival", "category", "label", ":1, field category"}},
      {"xsum",
       {R"({"document": "Long.", "summary": "Short.", "id": "1"})", "summarize: Long.", "Short.",
        "summary", "text", ":1, field summary"}},
      {"cnn_dailymail",
       {R"({"article": "Long.", "highlights": "A.\nB.", "id": "1"})", "summarize: Long.", "A.\nB.",
        "article", "text", ":1, field article"}},
      {"scitldr",
       {R"({"source": ["One.", "Two."], "target": ["Sum.", "Or."], "paper_id": "1", "title": "T"})",
        "summarize: One. Two.", "Sum.", "[\"One.\", \"Two.\"]", "\"One.\"", ":1, field source"}},
  };
  all["qqp"] = {"id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tWhy?\tHow?\t1\n",
                "qqp question1: Why? question2: How?",
                "duplicate",
                "",
                "",
                ""};
  const std::map<std::string, std::string> languages = {
      {"ar", "Arabic"},   {"cs", "Czech"},   {"de", "German"},  {"es", "Spanish"},
      {"fi", "Finnish"},  {"fr", "French"},  {"hi", "Hindi"},   {"it", "Italian"},
      {"ja", "Japanese"}, {"ko", "Korean"},  {"pl", "Polish"},  {"pt", "Portuguese"},
      {"ro", "Romanian"}, {"ru", "Russian"}, {"sv", "Swedish"}, {"th", "Thai"},
      {"tr", "Turkish"},  {"zh", "Chinese"}};
  for (const auto& [code, name] : languages) {
    all["translate_en_" + code] = {translation(code),    "translate English to " + name + ": Yes.",
                                   "übersetzt",          "\"Yes.\"",
                                   "7.5, \"x\": [\"\"]", ""};
  }
  return all;
}

std::vector<Example> read(const Task& task, const std::string& path,
                          ExampleUse use = ExampleUse::kTraining) {
  std::vector<Example> all;
  read_examples(task, path, use, [&](const Example& example) {
    all.push_back(example);
    return true;
  });
  return all;
}

TEST(ReadyTasks, AllHaveASample) {
  std::vector<std::string> names = ready_tasks(), sampled;
  for (const auto& [name, sample] : samples()) sampled.push_back(name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, sampled);
}

TEST(ReadyTasks, MakeTheTextsOfT5) {
  const testing::TemporaryFolder folder;
  for (const auto& [name, sample] : samples()) {
    SCOPED_TRACE(name);
    folder.put(name, sample.file);
    const std::vector<Example> examples = read(load_task(name), folder / name);
    ASSERT_FALSE(examples.empty());
    EXPECT_EQ(examples.back().input, sample.input);
    EXPECT_EQ(examples.back().target, sample.target);
    EXPECT_FALSE(load_task(name).metric_names().empty());
  }
}

TEST(ReadyTasks, NameThePlaceOfDamage) {
  const testing::TemporaryFolder folder;
  for (const auto& [name, sample] : samples()) {
    if (sample.complaint.empty()) continue;
    SCOPED_TRACE(name);
    std::string text = sample.file;
    ASSERT_NE(text.find(sample.sound), text.npos);
    text.replace(text.rfind(sample.sound), sample.sound.size(), sample.damaged);
    folder.put(name, text);
    const Error error = error_of([&, name = name] { read(load_task(name), folder / name); });
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_THAT(error.where_part(), HasSubstr("/" + name + sample.complaint));
  }
}

TEST(ReadyTasks, QqpPassesOverCutLines) {
  const testing::TemporaryFolder folder;
  folder.put("f", samples().at("qqp").file + "1\t3\t4\tWhat?\n2\t1\t2\tA?\tB?\t0\n");
  EXPECT_EQ(read(load_task("qqp"), folder / "f").size(), 2u);
}

TEST(ReadyTasks, TrainingAndEvaluationDifferWhereT5sDo) {
  const testing::TemporaryFolder folder;
  const auto count = [&](const std::string& name, ExampleUse use) {
    return read(load_task(name), folder / name, use).size();
  };
  std::string wsc = samples().at("wsc").file;
  wsc += "\n" + wsc.substr(0, wsc.rfind("true")) + "false}";
  folder.put("wsc", wsc);
  EXPECT_EQ(count("wsc", ExampleUse::kTraining), 1u);
  const auto pronouns = read(load_task("wsc"), folder / "wsc", ExampleUse::kEvaluation);
  ASSERT_EQ(pronouns.size(), 2u);
  EXPECT_EQ(pronouns[1].wanted.context, "False");

  folder.put("record", samples().at("record").file);
  EXPECT_EQ(count("record", ExampleUse::kTraining), 2u);
  const auto queries = read(load_task("record"), folder / "record", ExampleUse::kEvaluation);
  ASSERT_EQ(queries.size(), 1u);
  EXPECT_EQ(queries[0].wanted.references, (std::vector<std::string>{"A", "C"}));
}

TEST(ReadyTasks, GroupsAndReferences) {
  const testing::TemporaryFolder folder;
  folder.put("multirc", samples().at("multirc").file);
  EXPECT_EQ(read(load_task("multirc"), folder / "multirc").at(1).wanted.group, "4");
  folder.put("squad", samples().at("squad").file);
  EXPECT_EQ(read(load_task("squad"), folder / "squad").at(0).wanted.references,
            (std::vector<std::string>{"The answer . ", "Another answer . "}));
}

TEST(ReadyTasks, PredictionNeedsNoTarget) {
  const testing::TemporaryFolder folder;
  folder.put("f", R"({"question": "is it", "passage": "It is.", "idx": 0})");
  const auto examples = read(load_task("boolq"), folder / "f", ExampleUse::kPrediction);
  ASSERT_EQ(examples.size(), 1u);
  EXPECT_EQ(examples[0].input, "boolq passage: It is. question: is it");
}

}  // namespace
}  // namespace switchyard
