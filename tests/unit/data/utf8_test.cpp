#include "core/data/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace hetmoe {
namespace {

TEST(Utf8, AcceptsTheFirstAndLastCharacterOfEachLength) {
  for (const std::string& text :
       {std::string("\0", 1), std::string("\x7F"), std::string("\xC2\x80"), std::string("\xDF\xBF"),
        std::string("\xE0\xA0\x80"), std::string("\xED\x9F\xBF"), std::string("\xEE\x80\x80"),
        std::string("\xEF\xBF\xBF"), std::string("\xF0\x90\x80\x80"),
        std::string("\xF4\x8F\xBF\xBF")}) {
    EXPECT_EQ(utf8_character_bytes(text, 0), text.size());
  }
}

TEST(Utf8, RefusesOverlongFormsSurrogatesAndPointsBeyondTheLast) {
  for (const std::string_view text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x96", "\xC3", "\xE2(\xA1"}) {
    EXPECT_EQ(utf8_character_bytes(text, 0), 0U);
  }
}

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_EQ(first_invalid_utf8("caf\xC3\xA9"), 5U);
  EXPECT_EQ(first_invalid_utf8("caf\xE9 noir"), 3U);
}

TEST(Utf8, CutsBetweenCharacters) {
  EXPECT_EQ(utf8_cut("a\xE2\x82\xAC"
                     "b",
                     3),
            1U);
  EXPECT_EQ(utf8_cut("a\xE2\x82\xAC"
                     "b",
                     4),
            4U);
  EXPECT_EQ(utf8_cut("abc", 9), 3U);
  EXPECT_EQ(utf8_cut("\x80\x80\x80\x80\x80\x80", 5), 5U);  // no character to keep whole
}

}  // namespace
}  // namespace hetmoe
