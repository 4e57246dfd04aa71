// A line that `generate` answers: its ids are of the vocabulary, and the answer is one line.
#include "infer/generate_lines.h"
#include "tests/fuzz/target.h"

namespace switchyard {
namespace {

constexpr int64_t kVocabSize = 1000;

void check_sound(const GenerateRequest& request) {
  bool real = false;
  for (const int32_t id : request.input_ids) {
    fuzz::require(id >= 0 && id < kVocabSize, "an id is outside the vocabulary");
    real |= id != kPadId;
  }
  fuzz::require(real, "nothing but padding");
  const std::string answer = answer_line(request, {Generation{{5, 6}, -1.5, -0.5, true}}, nullptr,
                                         {.fill = false, .n_best = true, .score = true});
  fuzz::require(answer.find('\n') == std::string::npos, "the answer has more than one line");
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  return fuzz::run(
      [&] {
        return parse_generate_line(fuzz::text_of(data, size), nullptr, kVocabSize, "lines", 1);
      },
      check_sound);
}
