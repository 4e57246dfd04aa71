#include "text/unicode.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(Unicode, DecodesAndEncodes) {
  const std::string text = "aé€😀\0b";
  EXPECT_EQ(decode_utf8("aé€😀"), U"aé€😀");
  EXPECT_EQ(encode_utf8(decode_utf8(text)), text);
  EXPECT_EQ(decode_utf8("x\xFFy\xE2\x82"), U"x\uFFFDy\uFFFD\uFFFD");
  EXPECT_EQ(decode_utf8(""), U"");
}

TEST(Unicode, LowersAsPythonDoes) {
  EXPECT_EQ(to_lower(U"ÀÉ ŁÓDŹ МОСКВА \u212A"), U"àé łódź москва k");
  EXPECT_EQ(to_lower(U"\u0130stanbul"), U"i\u0307stanbul");
  EXPECT_EQ(to_lower(U"STRASSE ẞ"), U"strasse ß");
  // The final sigma: after a letter with case, before none; marks and apostrophes do not count.
  EXPECT_EQ(to_lower(U"ΟΔΥΣΣΕΥΣ ΣΑΣ"), U"οδυσσευς σας");
  EXPECT_EQ(to_lower(U"Σ ΑΣ. ΑΣ'Α ΑΣ\u0301"), U"σ ας. ασ'α ας\u0301");
  EXPECT_EQ(to_lower(U"1Σ ⒶΣ"), U"1σ ⓐς");
}

TEST(Unicode, Classes) {
  EXPECT_EQ(character_class(U'ж'), CharacterClass::kLetter);
  EXPECT_EQ(character_class(U'中'), CharacterClass::kLetter);
  EXPECT_EQ(character_class(U'\u093F'), CharacterClass::kMark);  // a vowel sign of Devanagari
  EXPECT_EQ(character_class(U'٣'), CharacterClass::kNumber);
  EXPECT_EQ(character_class(U'½'), CharacterClass::kNumber);
  EXPECT_EQ(character_class(U'。'), CharacterClass::kPunctuation);
  EXPECT_EQ(character_class(U'€'), CharacterClass::kSymbol);
  EXPECT_EQ(character_class(U'$'), CharacterClass::kSymbol);
  EXPECT_EQ(character_class(U' '), CharacterClass::kOther);
  EXPECT_EQ(character_class(0x10FFFF), CharacterClass::kOther);
  EXPECT_TRUE(is_word_character(U'_'));
  EXPECT_FALSE(is_word_character(U'\u0301'));
}

TEST(Unicode, SplitsAtAllWhiteSpace) {
  EXPECT_EQ(single_spaced(U"\u3000a\u00A0b\t\n c\x1C"
                          U"d\u2028"),
            U"a b c d");
  EXPECT_EQ(split_white_space(U" \n").size(), 0u);
  EXPECT_EQ(single_spaced(U"a\u200Bb"), U"a\u200Bb");  // no white space: a format
}

}  // namespace
}  // namespace switchyard
