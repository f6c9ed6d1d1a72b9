#include "core/config/allowed.h"

#include <gtest/gtest.h>

#include "core/config/value_text.h"

namespace hetmoe {
namespace {

TEST(Allowed, RangesSayWhatTheyAccept) {
  EXPECT_EQ(at_least(1).describe(), ">= 1");
  EXPECT_FALSE(at_least(1).accepts_number(0));
  EXPECT_TRUE(at_least(1).accepts_number(1));

  EXPECT_EQ(between(0, 0.5).describe(), "0..0.5");
  EXPECT_TRUE(between(0, 0.5).accepts_number(0.5));
  EXPECT_FALSE(between(0, 0.5).accepts_number(0.51));

  EXPECT_EQ(above_up_to(0, 1).describe(), "> 0 and <= 1");
  EXPECT_FALSE(above_up_to(0, 1).accepts_number(0));
  EXPECT_TRUE(above_up_to(0, 1).accepts_number(1));
}

TEST(Allowed, AGuardIsNamedOnlyWhereItIsPassed) {
  const Allowed allowed = at_least(1, 100);
  EXPECT_EQ(allowed.refusal_of_number(0), "allowed: >= 1");
  EXPECT_TRUE(allowed.accepts_number(100));
  EXPECT_FALSE(allowed.accepts_number(101));
  EXPECT_EQ(allowed.refusal_of_number(101), "allowed: 1..100");
}

TEST(Allowed, WordsAreTakenAsTheyAre) {
  const Allowed allowed = one_of({"auto", "cpu"});
  EXPECT_TRUE(allowed.accepts_text("cpu"));
  EXPECT_FALSE(allowed.accepts_text("CPU"));
  EXPECT_EQ(allowed.describe(), "auto, cpu");
}

TEST(Allowed, AFileIsKnownByItsEnding) {
  const Allowed allowed = one_of_or_file({"whole"}, ".json");
  EXPECT_TRUE(allowed.accepts_text("plans/a.json"));
  EXPECT_FALSE(allowed.accepts_text(".json"));
  EXPECT_FALSE(allowed.accepts_text("plans/a.yaml"));
  EXPECT_EQ(allowed.describe(), "whole or a file *.json");
}

TEST(ValueText, NumbersReadBackToThemselves) {
  EXPECT_EQ(number_text(1), "1");
  EXPECT_EQ(number_text(-3), "-3");
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(1e12), "1000000000000");
  EXPECT_EQ(std::stod(number_text(1.0 / 3)), 1.0 / 3);
  EXPECT_EQ(std::stod(number_text(1e300)), 1e300);
}

TEST(ValueText, MessagesStayOnOneShortLine) {
  EXPECT_EQ(printable(""), "\"\"");
  EXPECT_EQ(printable("a\nb\x1b"), "a?b?");
  EXPECT_EQ(printable(std::string(61, 'a')), std::string(60, 'a') + "...");
  // Two bytes each; the 60th byte would be half of a character.
  std::string text = "x";
  for (int i = 0; i < 40; ++i) text += "é";
  EXPECT_EQ(printable(text), text.substr(0, 59) + "...");
}

}  // namespace
}  // namespace hetmoe
