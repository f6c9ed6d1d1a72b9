// Expected values are what CPython 3.11 prints for the same calls.

#include "runtime/tasks/python_text.h"

#include <gtest/gtest.h>

namespace hetmoe {
namespace {

TEST(PythonText, StripTakesUnicodeSpaceToo) {
  EXPECT_EQ(stripped("  a b\t\r\n"), "a b");
  EXPECT_EQ(stripped("\v\f\x1c\x1d\x1e\x1f"
                     "a"),
            "a");
  EXPECT_EQ(stripped("\u00a0\u2003\u3000\u0085x\u2028\u202f\u205f\u1680"), "x");
  EXPECT_EQ(stripped("\u200b x \u200b"), "\u200b x \u200b");  // zero width is no space
  EXPECT_EQ(stripped("\u00e9"), "\u00e9");
  EXPECT_EQ(stripped(" \n"), "");
  EXPECT_EQ(stripped(""), "");
}

TEST(PythonText, SpaceAtTheEndIsCountedInBytes) {
  EXPECT_EQ(trailing_space_bytes("a"), 0U);
  EXPECT_EQ(trailing_space_bytes("a  \n"), 3U);
  EXPECT_EQ(trailing_space_bytes("a\u2003 "), 4U);
  EXPECT_EQ(trailing_space_bytes(" "), 1U);
  EXPECT_EQ(trailing_space_bytes(""), 0U);
}

TEST(PythonText, CapitalizeMakesAllOtherLettersSmall) {
  EXPECT_EQ(capitalized("she SEES Bob."), "She sees bob.");
  EXPECT_EQ(capitalized("\u00e9COLE \u00c9TAT"), "\u00c9cole \u00e9tat");
  EXPECT_EQ(capitalized("\u0436\u0423\u041a"), "\u0416\u0443\u043a");
  EXPECT_EQ(capitalized("1A"), "1a");
  EXPECT_EQ(capitalized(" A"), " a");
  EXPECT_EQ(capitalized("\U00010428\U00010400"), "\U00010400\U00010428");  // beyond two bytes
  EXPECT_EQ(capitalized(""), "");
}

TEST(PythonText, LengthIsInCharacters) {
  EXPECT_EQ(character_count("abc"), 3);
  EXPECT_EQ(character_count("a\u00e9\u20ac\U0001f600"), 4);
  EXPECT_EQ(character_count(""), 0);
}

TEST(PythonText, ReplaceDoesNotLookBack) {
  EXPECT_EQ(with_replaced("a    b   c", "  ", " "), "a  b  c");
  EXPECT_EQ(with_replaced("x [title] y [title]", " [title]", ". "), "x.  y. ");
  EXPECT_EQ(with_replaced("", "a", "b"), "");
}

}  // namespace
}  // namespace hetmoe
