// The page in a real browser, where there is one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "base/files.h"
#include "base/format.h"
#include "tests/integration/tiny_server.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Standard output of a shell command.
std::string output_of(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return output;
  std::array<char, 4096> bytes;
  while (const size_t count = std::fread(bytes.data(), 1, bytes.size(), pipe)) {
    output.append(bytes.data(), count);
  }
  ::pclose(pipe);
  return output;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

class ServePage : public TinyServer {
 protected:
  void SetUp() override {
    if (output_of("command -v chromium").empty()) GTEST_SKIP() << "there is no chromium";
  }
  /// The document once its scripts have run for some virtual seconds.
  std::string dom_of(const std::string& address) {
    return output_of(format(
        "HOME={0} timeout 120 chromium --headless --no-sandbox --disable-gpu --user-data-dir={0} "
        "--virtual-time-budget=20000 --dump-dom '{1}' 2>/dev/null",
        own_.path(), address));
  }
  std::string page_after(const std::string& query) {
    return dom_of(format("http://127.0.0.1:{}/{}", server_->port(), query));
  }
  TemporaryFolder own_;
};

TEST_F(ServePage, ShowsTheOutputAndWhereTokensWent) {
  const Json choice = server_->complete({{"prompt", "bado kilu"}, {"max_tokens", 5}});
  ASSERT_EQ(choice["finish_reason"], "length");
  const std::string page = page_after("?prompt=bado+kilu&max_tokens=5&fill=0&run=1");
  EXPECT_THAT(page, HasSubstr("run: 4 experts in 2 layers"));
  EXPECT_THAT(page, HasSubstr("5 out"));
  EXPECT_THAT(page, HasSubstr(">" + choice["text"].get<std::string>() + "</div>"));
  EXPECT_THAT(page, HasSubstr("encoder.1: expert "));
  EXPECT_THAT(page, HasSubstr("decoder.1: not routed"));  // the last token, which is not read
  const std::string gates = "class=\"gate\"";
  const Json usage = Json::parse(
      server_->post("/v1/completions", {{"prompt", "bado kilu"}, {"max_tokens", 5}}).body)["usage"];
  EXPECT_EQ(count_of(page, gates), usage["prompt_tokens"].get<size_t>() + 5);
}

TEST_F(ServePage, ShowsWhatTheServerRefuses) {
  const std::string page = page_after("?prompt=bado&max_tokens=5&temperature=0.001&run=1");
  EXPECT_THAT(page, HasSubstr("<span class=\"error\">too low; temperature"));
  EXPECT_THAT(page, Not(HasSubstr("class=\"gate\"")));
}

TEST_F(ServePage, FillsMarkedPlaces) {
  // What models of spans write, which the tiny one does not.
  write_file(own_ / "fill.html", R"(<body><script src=")" SWITCHYARD_SOURCE_DIR
                                 R"(/src/serve/page/fill.js"></script><script>
const show = (prompt, output) => fillPrompt(prompt, output)
    .map((part) => part.filled ? "[" + part.text + "]" : part.text).join("");
document.body.textContent = [
  show("a <extra_id_0> b <extra_id_1>.", "<extra_id_0> one two <extra_id_1> three"),
  show("a <extra_id_0> b <extra_id_1>.", "<extra_id_0> one"),
  show("a <extra_id_12> <extra_id_0>", "x <extra_id_12> y <extra_id_12> z<extra_id_0>"),
  show("no places", "<extra_id_0> one"), show("<extra_id_0>", ""),
].join("|");
</script></body>)");
  EXPECT_THAT(dom_of("file://" + (own_ / "fill.html")),
              HasSubstr("a [one two] b [three].|a [one] b &lt;extra_id_1&gt;.|a [y] []|no places|"
                        "&lt;extra_id_0&gt;"));
}

}  // namespace
}  // namespace switchyard::testing
