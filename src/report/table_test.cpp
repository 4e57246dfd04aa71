#include "report/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include "report/static_plot.h"
#include "report/test_runs.h"

namespace switchyard {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string cell(const Table& table, const std::string& row, const std::string& column) {
  for (const Table::Row& candidate : table.rows) {
    if (candidate.cells.front() != row) continue;
    for (size_t c = 0; c < table.columns.size(); ++c) {
      if (table.columns[c] == column) return candidate.cells[c];
    }
  }
  return "no such cell";
}

Table table_of(const std::vector<RunData>& runs) { return main_table(runs, compare(runs)); }

TEST(MainTable, NumbersOfEachRun) {
  const Table table = table_of({made_up_run("dense", 0, 1, {-4, -3, -2}, 1),
                                made_up_run("moe", 8, 1, {-4, -2, -1}, 2),
                                made_up_run("bad", 4, 1, {-4, -4, -4}, 1)});
  EXPECT_EQ(cell(table, "dense (baseline)", "Experts"), "dense");
  EXPECT_EQ(cell(table, "dense (baseline)", "× time"), "1.00×");
  EXPECT_EQ(cell(table, "dense (baseline)", "Δ nats"), "+0.0000");
  EXPECT_EQ(cell(table, "moe", "Final NLP"), "-1.0000");
  EXPECT_EQ(cell(table, "moe", "Δ nats"), "+1.0000");
  EXPECT_EQ(cell(table, "moe", "time ratio"), "2.00");
  EXPECT_EQ(cell(table, "moe", "tokens/s"), "500");
  EXPECT_EQ(cell(table, "moe", "× steps"), "1.50×");
  EXPECT_EQ(cell(table, "moe", "× time"), "0.75×");
  EXPECT_EQ(cell(table, "bad", "× steps"), "not reached");
}

TEST(MainTable, FirstEvaluationGivesABound) {
  const Table table =
      table_of({made_up_run("dense", 0, 1, {-4, -3}), made_up_run("moe", 8, 1, {-2, -1})});
  EXPECT_EQ(cell(table, "moe", "× steps"), "≥ 2.00×");
}

TEST(MainTable, NothingEvaluated) {
  const Table table = table_of({made_up_run("dense", 0, 1, {}), made_up_run("moe", 8, 1, {})});
  EXPECT_EQ(cell(table, "dense (baseline)", "× steps"), "–");
  EXPECT_EQ(cell(table, "moe", "Final NLP"), "–");
  EXPECT_EQ(cell(table, "moe", "× steps"), "–");
}

TEST(MainTable, SeedsAreOneRowWithTheirSpread) {
  const Table table =
      table_of({made_up_run("dense", 0, 1, {-4, -2}), made_up_run("moe-1", 8, 1, {-4, -1}),
                made_up_run("moe-2", 8, 2, {-4, -3})});
  EXPECT_EQ(cell(table, "moe (2 seeds)", "Final NLP"), "-2.000 ± 1.414");
  EXPECT_EQ(cell(table, "moe (2 seeds)", "× steps"), "1.20× (1 of 2)");
  EXPECT_EQ(cell(table, "moe-2", "× steps"), "not reached");
  EXPECT_TRUE(table.rows[2].member);
}

TEST(Table, TextIsAlignedByCharacters) {
  Table table;
  table.columns = {"Run", "Δ"};
  table.rows = {{{"größe", "1"}, false, false}, {{"x", "22"}, false, true}};
  EXPECT_EQ(table.to_text(), "Run     Δ\ngröße   1\n  x    22\n");
}

TEST(Table, HtmlIsEscaped) {
  Table table;
  table.columns = {"<b>"};
  table.rows = {{{"<script>\"&"}, false, false}};
  EXPECT_THAT(table.to_html(), AllOf(HasSubstr("&lt;b&gt;"), HasSubstr("&lt;script&gt;&quot;&amp;"),
                                     Not(HasSubstr("<script>"))));
}

TEST(SettingsTable, OnlyWhatDiffers) {
  const Table table = settings_table({made_up_run("a", 0, 1, {}), made_up_run("b", 8, 1, {})});
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_THAT(table.rows[0].cells, ElementsAre("model.moe.num_experts", "0", "8"));
  EXPECT_TRUE(settings_table({made_up_run("a", 8, 1, {})}).rows.empty());
}

TEST(ShortCount, ThreeDigits) {
  EXPECT_EQ(short_count(999), "999");
  EXPECT_EQ(short_count(999'900), "1M");
  EXPECT_EQ(short_count(12'345'678), "12.3M");
  EXPECT_EQ(short_count(std::numeric_limits<double>::quiet_NaN()), "–");
}

TEST(StaticPlot, LinesAndEscapedNames) {
  const std::vector<RunData> runs = {made_up_run("<dense>", 0, 1, {-4, -3, -2}),
                                     made_up_run("moe", 8, 1, {-4, -2, -1})};
  const std::string svg = static_plot(runs, compare(runs));
  EXPECT_THAT(svg, AllOf(HasSubstr("&lt;dense&gt;"), HasSubstr("class=\"line c1\""),
                         Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
  EXPECT_EQ(static_plot({runs[0]}, compare({runs[0]})).find("c1\" points"), std::string::npos);
}

TEST(StaticPlot, TooFewEvaluations) {
  for (const auto& nlp : {std::vector<double>{}, std::vector<double>{-3.0}}) {
    const std::vector<RunData> runs = {made_up_run("a", 0, 1, nlp)};
    EXPECT_EQ(static_plot(runs, compare(runs)), "");
  }
}

TEST(AxisMarks, AreRound) {
  EXPECT_THAT(axis_marks(0, 1000, 5), ElementsAre(0, 200, 400, 600, 800, 1000));
  EXPECT_TRUE(axis_marks(1, 1, 5).empty());
}

}  // namespace
}  // namespace switchyard
