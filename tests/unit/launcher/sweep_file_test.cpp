#include "launcher/sweep/sweep_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/config/yaml_reader.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Sweep sweep_of(const std::string& text) { return parse_sweep(parse_yaml(text, "s.yaml")); }

std::string fault_of(const std::string& text) {
  try {
    sweep_of(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::vector<std::string> names_of(const Sweep& sweep) {
  std::vector<std::string> names;
  for (const SweepRun& run : sweep.runs) names.push_back(run.name);
  return names;
}

TEST(SweepFile, NamedRunsSetTheirKeysAfterThoseOfAll) {
  const Sweep sweep = sweep_of(
      "config: c.yaml\n"
      "set: {train.steps: 4}\n"
      "runs: {plain: , wide: {model.experts.mean_width: 64, train: {steps: 9}}}\n");
  EXPECT_EQ(sweep.config_path, "c.yaml");
  ASSERT_THAT(names_of(sweep), ElementsAre("plain", "wide"));
  EXPECT_THAT(sweep.runs[0].settings, ElementsAre("train.steps=4"));
  EXPECT_THAT(sweep.runs[1].settings,
              ElementsAre("train.steps=4", "model.experts.mean_width=64", "train.steps=9"));
}

TEST(SweepFile, AGridIsTheProductOfItsValues) {
  const Sweep sweep = sweep_of(
      "config: c.yaml\n"
      "grid: {train.seed: [1, 2], model: {router: {top_p: [0.4, 0.6, 0.8]}}}\n");
  EXPECT_THAT(names_of(sweep),
              ElementsAre("seed-1-top_p-0.4", "seed-1-top_p-0.6", "seed-1-top_p-0.8",
                          "seed-2-top_p-0.4", "seed-2-top_p-0.6", "seed-2-top_p-0.8"));
  EXPECT_THAT(sweep.runs[5].settings, ElementsAre("train.seed=2", "model.router.top_p=0.8"));
}

TEST(SweepFile, RunsAreTakenWithEachCombinationOfTheGridInTurn) {
  const Sweep sweep =
      sweep_of("config: c\nruns: {b: {train.steps: 1}, a: {}}\ngrid: {train.seed: [1, 2]}\n");
  EXPECT_THAT(names_of(sweep), ElementsAre("b-seed-1", "a-seed-1", "b-seed-2", "a-seed-2"));
  EXPECT_THAT(sweep.runs[2].settings, ElementsAre("train.steps=1", "train.seed=2"));
}

TEST(SweepFile, ValuesReachSetAsTheyWereWritten) {
  const Sweep sweep = sweep_of(
      "config: c\n"
      "runs:\n"
      "  a: {x.list: [64, 32], x.path: data/my text, x.quoted: '12', x.empty: \"\",\n"
      "      x.mark: 'it''s', x.words: [a b, 'c,d', e]}\n");
  EXPECT_THAT(sweep.runs[0].settings,
              ElementsAre("x.empty=''", "x.list=[64, 32]", "x.mark='it''s'", "x.path=data/my text",
                          "x.quoted='12'", "x.words=['a b', 'c,d', e]"));
  // And come back as they were.
  EXPECT_EQ(parse_setting_value("'it''s'").text, "it's");
  EXPECT_TRUE(parse_setting_value("'12'").quoted);
  EXPECT_EQ(parse_setting_value("['a b', 'c,d', e]").children.at(1).text, "c,d");
}

TEST(SweepFile, ListsAndPathsBecomePartsOfANameThatAFolderCanBear) {
  const Sweep sweep =
      sweep_of("config: c\ngrid: {experts.widths: [[64, 32], [48, 48]], data.train: [data/a/b]}\n");
  EXPECT_THAT(names_of(sweep),
              ElementsAre("widths-64_32-train-data_a_b", "widths-48_48-train-data_a_b"));
}

TEST(SweepFile, NamesEveryFaultWithItsLine) {
  EXPECT_THAT(fault_of("config: c\n"
                       "speed: 1\n"
                       "runs:\n"
                       "  ../up: {}\n"
                       "  a: {train.steps: }\n"
                       "  a: {}\n"
                       "  b: 7\n"
                       "grid: {train.seed: 3}\n"),
              AllOf(HasSubstr("s.yaml:2: speed: unknown key, allowed: config, set, runs, grid"),
                    HasSubstr("s.yaml:4: run ../up: allowed: a name"),
                    HasSubstr("s.yaml:5: train.steps: nothing, allowed: a value"),
                    HasSubstr("s.yaml:6: a: given twice"), HasSubstr("s.yaml:7: run b: 7, allowed"),
                    HasSubstr("s.yaml:8: train.seed: 3, allowed: a list of values")));
}

TEST(SweepFile, NamesThatAreNoPlainFolderNamesAreRefused) {
  for (const std::string name : {"a/b", "..", ".a", "-a", "a b", "'a\tb'", "comparison.html",
                                 "a.submitted", "\xc3\xa4", "'$x'"}) {
    EXPECT_THAT(fault_of("config: c\nruns: {" + name + ": {}}\n"), HasSubstr("allowed: a name"))
        << name;
  }
  EXPECT_THAT(fault_of("config: c\nruns: {" + std::string(101, 'a') + ": {}}\n"),
              HasSubstr("at most 100"));
  EXPECT_THAT(fault_of("config: c\nruns: {" + std::string(100, 'a') + ": {}}\n"), IsEmpty());
}

TEST(SweepFile, TwoRunsOfOneNameAreRefused) {
  EXPECT_THAT(fault_of("config: c\ngrid: {data.train: [a/b, a_b]}\n"),
              HasSubstr("two runs are called train-a_b"));
  EXPECT_THAT(fault_of("config: c\nruns: {a: {}, a-seed-1: {}}\ngrid: {train.seed: [1, 1]}\n"),
              HasSubstr("two runs are called a-seed-1"));
}

TEST(SweepFile, AKeyThatTheGridVariesIsNotSetByARun) {
  EXPECT_THAT(fault_of("config: c\nruns: {a: {train.seed: 3}}\ngrid: {train.seed: [1]}\n"),
              HasSubstr("run a sets train.seed, which grid varies"));
  EXPECT_THAT(fault_of("config: c\ngrid: {train.seed: [1], train: {seed: [2]}}\n"),
              HasSubstr("given twice"));
}

TEST(SweepFile, NoMoreRunsThanAPageCompares) {
  std::string ten = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
  EXPECT_EQ(sweep_of("config: c\ngrid: {a: " + ten + ", b: " + ten + "}\n").runs.size(),
            kMostSweepRuns);
  std::string grid;
  for (char key = 'a'; key <= 'z'; ++key) grid += std::string(1, key) + ": " + ten + ", ";
  EXPECT_THAT(fault_of("config: c\ngrid: {" + grid + "}\n"), HasSubstr("more than 100 runs"));
  EXPECT_THAT(fault_of("config: c\nruns: {x: {}, y: {}}\ngrid: {a: " + ten + ", b: " + ten + "}\n"),
              HasSubstr("more than 100 runs"));
}

TEST(SweepFile, SaysWhatIsMissing) {
  EXPECT_THAT(fault_of(""),
              AllOf(HasSubstr("config: missing"), HasSubstr("runs and grid: missing")));
  EXPECT_THAT(fault_of("config: c\nruns: {}\n"), HasSubstr("no run"));
  EXPECT_THAT(fault_of("[1]"), HasSubstr("allowed: a section"));
  EXPECT_THAT(fault_of("config: [c]\nruns: {a: {}}\n"), HasSubstr("config: [c], allowed: a path"));
  EXPECT_THAT(fault_of("config: c\nruns: [a]\n"), HasSubstr("runs: [a], allowed: a section"));
}

}  // namespace
}  // namespace hetmoe
