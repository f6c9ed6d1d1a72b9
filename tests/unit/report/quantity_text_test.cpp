#include "runtime/report/quantity_text.h"

#include <gmock/gmock.h>

#include <limits>

namespace hetmoe {
namespace {

TEST(QuantityText, CountsHaveThreeSignificantDigits) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(512), "512");
  EXPECT_EQ(count_text(1000), "1.00 k");
  EXPECT_EQ(count_text(45600), "45.6 k");
  EXPECT_EQ(count_text(789000), "789 k");
  EXPECT_EQ(count_text(1234567), "1.23 M");
  EXPECT_EQ(count_text(16.2e9), "16.2 G");
  EXPECT_EQ(count_text(5e15), "5000 T");
  EXPECT_EQ(count_text(-45600), "-45.6 k");
}

TEST(QuantityText, CountsRoundBeforeTheyChooseTheUnit) {
  EXPECT_EQ(count_text(999.4), "999");
  EXPECT_EQ(count_text(999.6), "1.00 k");
  EXPECT_EQ(count_text(9996), "10.0 k");
  EXPECT_EQ(count_text(99960), "100 k");
  EXPECT_EQ(count_text(999999), "1.00 M");
}

TEST(QuantityText, DurationsCarryTwoUnitsAtMost) {
  EXPECT_EQ(duration_text(-1), "0.0 s");
  EXPECT_EQ(duration_text(0.42), "0.4 s");
  EXPECT_EQ(duration_text(9.96), "10 s");
  EXPECT_EQ(duration_text(59.6), "1 min 00 s");
  EXPECT_EQ(duration_text(200), "3 min 20 s");
  EXPECT_EQ(duration_text(3599.7), "1 h 00 min");
  EXPECT_EQ(duration_text(7500), "2 h 05 min");
  EXPECT_EQ(duration_text(3 * 86400 + 4 * 3600), "3 d 04 h");
}

TEST(QuantityText, ShortDurationsHaveThreeSignificantDigits) {
  EXPECT_EQ(short_duration_text(0), "0 us");
  EXPECT_EQ(short_duration_text(512e-6), "512 us");
  EXPECT_EQ(short_duration_text(0.0456), "45.6 ms");
  EXPECT_EQ(short_duration_text(0.99996), "1.00 s");
  EXPECT_EQ(short_duration_text(1234), "1234 s");
  EXPECT_EQ(short_duration_text(std::numeric_limits<double>::infinity()), "inf");
}

TEST(QuantityText, BytesUsePowersOf1024) {
  EXPECT_EQ(bytes_text(512), "512 B");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1024), "1.00 KiB");
  EXPECT_EQ(bytes_text(812LL << 20), "812 MiB");
  EXPECT_EQ(bytes_text(1023LL << 20), "1023 MiB");
  EXPECT_EQ(bytes_text((5LL << 30) / 4), "1.25 GiB");
}

TEST(QuantityText, NonFiniteNumbersAreSaidAndNotFormatted) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(count_text(infinity), "inf");
  EXPECT_EQ(duration_text(-infinity), "-inf");
  EXPECT_EQ(fixed_text(std::numeric_limits<double>::quiet_NaN(), 3), "nan");
  EXPECT_EQ(percent_text(std::numeric_limits<double>::quiet_NaN()), "nan %");
}

TEST(QuantityText, AlignmentNeverCuts) {
  EXPECT_EQ(right_aligned("ab", 4), "  ab");
  EXPECT_EQ(left_aligned("ab", 4), "ab  ");
  EXPECT_EQ(right_aligned("abcdef", 4), "abcdef");
}

}  // namespace
}  // namespace hetmoe
