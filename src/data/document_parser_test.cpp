#include "data/document_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/random.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DocumentParserTest : public ::testing::Test {
 protected:
  /// Documents of the records, which get the line numbers 1, 2, ...
  std::vector<std::string> parse(const std::vector<std::string>& records, bool json) {
    RecordBatch batch;
    batch.source = "file";
    batch.json = json;
    for (const std::string& record : records) {
      batch.records.push_back({batch.bytes.size(), record.size(), batch.records.size() + 1});
      batch.bytes += record;
    }
    counts_ = {};
    notes_.clear();
    std::vector<std::string> documents;
    DocumentParser(options_).parse(
        batch, [&](std::string_view text) { documents.emplace_back(text); }, counts_, notes_);
    return documents;
  }

  ReadOptions options_;
  ReadCounts counts_;
  std::vector<std::string> notes_;
};

TEST_F(DocumentParserTest, TextIsTrimmedAndCounted) {
  EXPECT_THAT(parse({" one\n", " \t\n", "two"}, false), ElementsAre("one", "two"));
  EXPECT_EQ(counts_.documents, 2u);
  EXPECT_EQ(counts_.bytes, 6u);
  EXPECT_EQ(counts_.empty, 1u);
  EXPECT_EQ(counts_.left_out(), 1u);
}

TEST_F(DocumentParserTest, JsonLines) {
  EXPECT_THAT(
      parse({R"({"text": "one"})", R"( {"id": 3, "meta": {"text": "no"}, "text": "two\n\u00e9"} )",
             R"({"text": "first", "text": "last"})",
             R"({"list": ["text", {"text": 1}], "text": "x"})"},
            true),
      ElementsAre("one", "two\n\u00e9", "last", "x"));
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(DocumentParserTest, LinesThatDoNotServeAreCountedAndNamed) {
  EXPECT_THAT(parse({R"({"text": "good"})", R"({"text": "cut off)", R"({"other": "x"})",
                     R"({"text": 3})", R"(["text", "x"])", R"({"text": "  "})"},
                    true),
              ElementsAre("good"));
  EXPECT_EQ(counts_.malformed_json, 1u);
  EXPECT_EQ(counts_.missing_text, 3u);
  EXPECT_EQ(counts_.empty, 1u);
  EXPECT_THAT(notes_, ElementsAre("file:2: malformed JSON, left out",
                                  "file:3: no text under the key \"text\", left out",
                                  "file:4: no text under the key \"text\", left out",
                                  "file:5: no text under the key \"text\", left out"));
  EXPECT_EQ(counts_.left_out_text(), "1 empty, 1 malformed JSON, 3 without text");
}

TEST_F(DocumentParserTest, MalformedJsonOfAllKinds) {
  const std::vector<std::string> records = {R"({"text": "x"} more)",
                                            R"({"text": "x",})",
                                            R"({'text': 'x'})",
                                            R"({"text": "\ud800"})",
                                            R"({"text": "x", "n": 1e999})",
                                            "{\"text\": \"a\nb\"}",
                                            std::string("{\"text\": \"a\0b\"}", 14),
                                            "nonsense",
                                            "{",
                                            std::string(100000, '['),
                                            R"({"text": NaN})"};
  EXPECT_THAT(parse(records, true), IsEmpty());
  EXPECT_EQ(counts_.malformed_json, records.size());
  EXPECT_EQ(notes_.size(), DocumentParser::kMaxNotes) << "the rest is only counted";
}

TEST_F(DocumentParserTest, AnotherKey) {
  options_.text_key = "body";
  EXPECT_THAT(parse({R"({"text": "no", "body": "yes"})"}, true), ElementsAre("yes"));
}

TEST_F(DocumentParserTest, InvalidUtf8IsReplacedOrSkipped) {
  EXPECT_THAT(parse({"a\xFF"
                     "b",
                     "fine"},
                    false),
              ElementsAre("a\uFFFDb", "fine"));
  EXPECT_EQ(counts_.invalid_utf8_replaced, 1u);
  EXPECT_EQ(counts_.left_out(), 0u);
  EXPECT_THAT(notes_, ElementsAre("file:1: invalid UTF-8, replaced"));
  EXPECT_THAT(parse({"{\"text\": \"a\xC3\"}"}, true), ElementsAre("a\uFFFD"));

  options_.invalid_utf8 = "skip";
  EXPECT_THAT(parse({"a\xFF"
                     "b",
                     "fine"},
                    false),
              ElementsAre("fine"));
  EXPECT_EQ(counts_.invalid_utf8_skipped, 1u);
  EXPECT_EQ(counts_.left_out(), 1u);
}

TEST_F(DocumentParserTest, LongDocumentsAreCut) {
  options_.max_document_bytes = 10;
  EXPECT_THAT(parse({R"({"text": "aaaa bbbb cccccccccccccc"})"}, true),
              ElementsAre("aaaa bbbb", "cccccccccc", "cccc"));
  EXPECT_EQ(counts_.split_documents, 2u);
  EXPECT_EQ(counts_.documents, 3u);
}

TEST_F(DocumentParserTest, CountsAddUpAndPrint) {
  ReadCounts a, b;
  for (uint64_t* field :
       {&b.documents, &b.bytes, &b.empty, &b.malformed_json, &b.missing_text, &b.too_long_lines,
        &b.invalid_utf8_replaced, &b.invalid_utf8_skipped, &b.split_documents}) {
    *field = 3;
  }
  a.add(b);
  a.add(b);
  const nlohmann::ordered_json object = a.to_json();
  EXPECT_EQ(object.size(), 9u);
  for (const auto& [key, value] : object.items()) EXPECT_EQ(value, 6) << key;
  EXPECT_EQ(a.left_out(), 30u);
  EXPECT_EQ(ReadCounts().left_out_text(), "nothing");
}

// Lines with bytes changed, cut out or doubled: every one is a document or counted, all that comes
// out is sound.
TEST_F(DocumentParserTest, MutatedLinesAreAccountedFor) {
  const std::string sound =
      R"({"id": 17, "meta": {"a": [1, 2.5e3, null, true]}, "text": "caf\u00e9 \ud83d\ude00 \"q\" \\n)"
      "\u4e2d\"}";
  for (uint64_t i = 0; i < 20000; ++i) {
    const RandomStream random(1, kRandomTest, i);
    std::string line = sound;
    uint64_t draw = 0;
    for (uint64_t k = random.below(++draw, 4); k > 0 && !line.empty(); --k) {
      const uint64_t at = random.below(++draw, line.size());
      switch (random.below(++draw, 4)) {
        case 0:
          line[at] = static_cast<char>(random.bits(++draw));
          break;
        case 1:
          line[at] = "\"\\{}[],:u"[random.below(++draw, 9)];
          break;
        case 2:
          line.erase(at, random.below(++draw, 5));
          break;
        default:
          line.insert(at, line.substr(random.below(++draw, line.size()), 7));
          break;
      }
    }
    options_.invalid_utf8 = i % 2 ? "replace" : "skip";
    options_.max_document_bytes = 8 + random.below(++draw, 40);
    const auto documents = parse({line}, i % 8 != 0);
    for (const std::string& document : documents) {
      ASSERT_EQ(find_invalid_utf8(document), std::string::npos);
      ASSERT_EQ(trim(document), document);
      ASSERT_TRUE(!document.empty() && document.size() <= options_.max_document_bytes);
    }
    ASSERT_EQ(counts_.left_out(), documents.empty() ? 1u : 0u) << line;
  }
}

}  // namespace
}  // namespace switchyard
