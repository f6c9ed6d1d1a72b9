#include <gmock/gmock.h>

#include <algorithm>
#include <sstream>

#include "runtime/report/simulation_svg.h"
#include "runtime/report/simulation_text.h"
#include "tests/support/simulated_worlds.h"
#include "tests/support/small_cluster.h"

namespace hetmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

int occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

SimulationReport report_of(int ranks) {
  SimulationReport report{.config_name = "a<b",
                          .workload = "W3",
                          .seed = 1,
                          .cluster = small_cluster(),
                          .world = small_world(std::vector<std::int64_t>(ranks, 1)),
                          .placements = {}};
  const Placement first{{{{{0, 0, 0, 8}, {1, 0, 0, 24}}}}};
  const Placement spread{{{{{0, 0, 0, 8}, {1, ranks - 1, 0, 24}}}}};
  for (const auto& [name, placement] :
       {std::pair("contiguous", first), std::pair("slices", spread)}) {
    report.placements.push_back(
        {name, simulate(report.cluster, report.world, quarter_to_the_first(), placement), 1.25});
  }
  return report;
}

TEST(SimulationSvg, OneBarForEachRankAndPlacement) {
  for (const int ranks : {1, 2, 5, 256}) {
    const std::string svg = simulation_svg(report_of(ranks));
    EXPECT_EQ(occurrences(svg, "class=\"bar\""), 2 * ranks);
    EXPECT_EQ(occurrences(svg, "<title>rank 0\n"), 2);
  }
}

TEST(SimulationSvg, ManyRanksShareBars) {
  const std::string svg = simulation_svg(report_of(1000));
  EXPECT_EQ(occurrences(svg, "class=\"bar\""), 2 * simulation_svg_bars(1000));
  EXPECT_LT(simulation_svg_bars(1000), 257);
  EXPECT_THAT(svg, HasSubstr("ranks from the busiest to the idlest"));
}

TEST(SimulationSvg, BarsReachTheStepAtOneScale) {
  const SimulationReport report = report_of(2);
  const std::string svg = simulation_svg(report);
  // Heights of all boxes of a bar sum to its step; the slower placement fills the panel.
  std::vector<double> heights;
  for (auto bar = svg.find("class=\"bar\""); bar != std::string::npos;
       bar = svg.find("class=\"bar\"", bar + 1)) {
    const std::string body = svg.substr(bar, svg.find("</g>", bar) - bar);
    double sum = 0;
    for (auto at = body.find("height=\""); at != std::string::npos;
         at = body.find("height=\"", at + 1))
      sum += std::stod(body.substr(at + 8));
    heights.push_back(sum);
  }
  ASSERT_EQ(heights.size(), 4U);
  const double first = report.placements[0].simulation.step_seconds();
  const double second = report.placements[1].simulation.step_seconds();
  EXPECT_NEAR(heights[0] / heights[2], first / second, 0.002);
  EXPECT_NEAR(heights[0], heights[1], 0.1);
}

TEST(SimulationSvg, NamesAreEscaped) {
  const std::string svg = simulation_svg(report_of(2));
  EXPECT_THAT(svg, HasSubstr("a&lt;b"));
  EXPECT_THAT(svg, Not(HasSubstr("a<b")));
}

TEST(SimulationText, AColumnForEachPlacementInAHundredCharacters) {
  const SimulationReport report = report_of(3);
  const std::string text = simulation_text(report);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100U) << line;
  for (const char* label :
       {"step ", "attention and dense", "experts", "dispatch", "combine", "gradients", "optimizer",
        "parameters", "tokens/s", "MFU", "memory, largest rank"})
    EXPECT_THAT(text, HasSubstr(label));
  EXPECT_THAT(text, HasSubstr("contiguous            slices\n"));
  EXPECT_THAT(text, HasSubstr("1 expert group of 3"));
}

TEST(SimulationText, RanksAboveTheMemoryOfTheClusterAreCounted) {
  SimulationReport report = report_of(3);
  const Simulation& simulation = report.placements[0].simulation;
  report.cluster.memory_bytes = simulation.ranks[0].memory.sum() - 1;  // it holds all slices
  EXPECT_EQ(ranks_over_memory(simulation, report.cluster), 1);
  report.cluster.memory_bytes = 0;  // not known
  EXPECT_EQ(ranks_over_memory(simulation, report.cluster), 0);
  EXPECT_THAT(simulation_text(report), Not(HasSubstr("ranks over")));
}

}  // namespace
}  // namespace hetmoe
