#include "tests/fuzz/mutation.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/random.h"

namespace switchyard::fuzz {
namespace {

constexpr uint64_t kSeed = 20240229;
constexpr std::string_view kMarks = "{}[],:=#.\"'\\ \n-+eE09u";
// In the place of a value: of another type, or at the end of a range.
constexpr std::array<std::string_view, 16> kValues = {"-1",
                                                      "0",
                                                      "1e308",
                                                      "0.5",
                                                      "nan",
                                                      "null",
                                                      "true",
                                                      "[]",
                                                      "{}",
                                                      "\"\"",
                                                      "\"x\"",
                                                      "[[[[1]]]]",
                                                      "2147483648",
                                                      "9223372036854775808",
                                                      "18446744073709551615",
                                                      "\"\\u0000\""};

class Draws {
 public:
  explicit Draws(uint64_t round) : stream_(kSeed, kRandomTest, round) {}
  uint64_t below(uint64_t bound) { return stream_.below(next_++, bound); }
  char byte() { return static_cast<char>(below(256)); }

 private:
  RandomStream stream_;
  uint64_t next_ = 0;
};

void replace_value(std::string& input, size_t at, std::string_view value) {
  const size_t begin = input.find_first_of(":=", at);
  if (begin == std::string::npos) return;
  const size_t end = std::min(input.find_first_of(",}\n", begin + 1), input.size());
  input.replace(begin + 1, end - begin - 1, value);
}

void change(std::string& input, const std::string& other, Draws& draws) {
  const size_t at = draws.below(input.size());
  switch (draws.below(9)) {
    case 0:
      input[at] = draws.byte();
      break;
    case 1:
      input.erase(at, 1 + draws.below(8));
      break;
    case 2:
      input.insert(at, 1, kMarks[draws.below(kMarks.size())]);
      break;
    case 3:
      input.insert(at, input.substr(draws.below(input.size()), draws.below(40)));
      break;
    case 4:
      if (draws.below(4) == 0) input.resize(at);
      break;
    case 5:
      input[draws.below(std::min<size_t>(8, input.size()))] = draws.byte();
      break;
    case 6:
      replace_value(input, at, kValues[draws.below(kValues.size())]);
      break;
    case 7:
      if (!other.empty())
        input.insert(at, other.substr(draws.below(other.size()), draws.below(80)));
      break;
    default:
      input[at] = static_cast<char>('0' + draws.below(10));
      break;
  }
}

}  // namespace

std::string mutate(std::string input, const std::string& other, uint64_t round) {
  Draws draws(round);
  for (uint64_t left = 1 + draws.below(4); left > 0 && !input.empty(); --left) {
    change(input, other, draws);
  }
  return input;
}

}  // namespace switchyard::fuzz
