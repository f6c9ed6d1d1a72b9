#include "core/data/line_sample.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <sstream>

namespace hetmoe {
namespace {

using testing::SizeIs;

std::vector<std::string> lines_of(const LineSample& sample) {
  std::vector<std::string> lines;
  std::istringstream text(sample.text());
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

TEST(LineSample, KeepsEverythingThatFits) {
  LineSample sample(1, 1000);
  sample.add("b\n\na");
  sample.add("");
  sample.add("c\n");
  EXPECT_EQ(sample.text(), "b\na\nc\n");
}

TEST(LineSample, KeepsLinesInTheirOrderAndWithinTheLimit) {
  LineSample sample(1, 2000);
  for (int i = 100000; i < 120000; ++i) sample.add(std::to_string(i) + "\n");
  const auto lines = lines_of(sample);
  EXPECT_TRUE(std::is_sorted(lines.begin(), lines.end()));
  EXPECT_LE(sample.text().size(), 2000U);
  EXPECT_GE(lines.size(), 280U);  // 285 of 7 bytes fit
}

// Each line is as likely as any other: about a quarter of the sample comes from each quarter.
TEST(LineSample, TakesFromTheWholeText) {
  LineSample sample(7, 7 * 4000);
  for (int i = 100000; i < 180000; ++i) sample.add(std::to_string(i));
  const auto lines = lines_of(sample);
  ASSERT_THAT(lines, SizeIs(4000));
  for (int quarter = 0; quarter < 4; ++quarter) {
    const auto in_quarter = std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return (std::stoi(line) - 100000) / 20000 == quarter;
    });
    EXPECT_NEAR(static_cast<double>(in_quarter), 1000, 140);  // five standard deviations
  }
}

TEST(LineSample, DependsOnTheLinesAndTheSeedAlone) {
  const auto sample_of = [](std::uint64_t seed, int lines_a_document) {
    LineSample sample(seed, 500);
    std::string document;
    for (int i = 0; i < 6000; ++i) {
      document += "line " + std::to_string(i);
      if (i % lines_a_document == lines_a_document - 1) {
        sample.add(document);
        document.clear();
      } else {
        document += "\n";
      }
    }
    return sample.text();
  };
  EXPECT_EQ(sample_of(1, 1), sample_of(1, 60));
  EXPECT_NE(sample_of(1, 1), sample_of(2, 1));
}

TEST(LineSample, PartsLongLinesBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "\xE2\x82\xAC";
  LineSample sample(1, 100000);
  sample.add(text);
  std::string joined;
  for (const std::string& line : lines_of(sample)) {
    EXPECT_LT(line.size(), 4000U);
    EXPECT_EQ(line.size() % 3, 0U);
    joined += line;
  }
  EXPECT_EQ(joined, text);
}

}  // namespace
}  // namespace hetmoe
