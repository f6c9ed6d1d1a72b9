#include "runtime/config_difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "core/config/field.h"

namespace hetmoe::test {
namespace {

using testing::IsEmpty;

/// Gives the member behind a field another value of its type.
struct Change {
  void operator()(bool* value) const { *value = !*value; }
  void operator()(std::string* value) const { *value += "x"; }
  void operator()(double* value) const { *value = *value * (1 + 1e-15) + 1e-300; }
  void operator()(std::vector<std::int64_t>* value) const { value->push_back(1); }
  void operator()(std::vector<double>* value) const { value->push_back(1); }
  template <typename Integer>
  requires std::is_integral_v<Integer>
  void operator()(Integer* value) const { *value += 1; }
  void operator()(const EnumReference& value) const {
    const int words = static_cast<int>(value.words.size());
    value.set(value.target, (value.get(value.target) + 1) % words);
  }
};

/// As the contract of resuming has it: whole sections, and these keys of train. Who reads which
/// sequences and when a run gives up do not change what it learns.
bool contract_lets_change(const std::string& key) {
  static const std::set<std::string> sections = {
      "evaluate", "parallel", "placement", "checkpoint", "coordinator", "metrics", "topology"};
  static const std::set<std::string> keys = {"train.steps",
                                             "train.learning_rate",
                                             "train.warmup_steps",
                                             "train.schedule",
                                             "train.min_learning_rate_ratio",
                                             "train.source_weights",
                                             "train.max_skipped_in_row",
                                             "train.first_collective_seconds",
                                             "train.collective_seconds"};
  return sections.contains(key.substr(0, key.find('.'))) || keys.contains(key);
}

std::vector<std::string> keys_of(const std::vector<ConfigDifference>& differences) {
  std::vector<std::string> keys;
  for (const auto& difference : differences) keys.push_back(difference.key);
  return keys;
}

RunConfig saved_config() {
  RunConfig config;
  config.data.train = "data/mine";
  config.train.precision = Precision::kFp32;
  return config;
}

TEST(ConfigDifference, EveryKeyIsEitherFreeByTheContractOrReported) {
  const RunConfig saved = saved_config();
  RunConfig listed = saved;
  const std::size_t count = list_fields(listed).size();
  ASSERT_GT(count, 60U);
  for (std::size_t i = 0; i < count; ++i) {
    RunConfig now = saved;
    const std::vector<Field> fields = list_fields(now);
    std::visit(Change{}, fields[i].value);
    ASSERT_NE(resolved_yaml(now), resolved_yaml(saved)) << fields[i].key;
    const std::vector<std::string> expected = contract_lets_change(fields[i].key)
                                                  ? std::vector<std::string>{}
                                                  : std::vector<std::string>{fields[i].key};
    EXPECT_EQ(keys_of(forbidden_differences(saved, now)), expected) << fields[i].key;
    EXPECT_EQ(keys_of(forbidden_differences(now, saved)), expected) << fields[i].key;
  }
}

TEST(ConfigDifference, SaysWhatStandsOnBothSidesInOneLinePerKey) {
  const RunConfig saved = saved_config();
  RunConfig now = saved;
  now.train.steps = 99;
  now.train.seed = 7;
  now.data.train = "two\nlines";
  now.model.hidden_size = 256;
  now.model.experts.widths = {8, 16};
  std::vector<std::string> lines;
  for (const auto& difference : forbidden_differences(saved, now)) {
    lines.push_back(difference.text());
  }
  EXPECT_THAT(lines, testing::ElementsAre(
                         "model.hidden_size: 512 in the checkpoint, 256 here",
                         "model.experts.widths: [] in the checkpoint, [8, 16] here",
                         "data.train: \"data/mine\" in the checkpoint, \"two\\x0alines\" here",
                         "train.seed: 1 in the checkpoint, 7 here"));
}

TEST(ConfigDifference, TheSameConfigurationHasNone) {
  EXPECT_THAT(forbidden_differences(saved_config(), saved_config()), IsEmpty());
}

TEST(ConfigDifference, PrecisionAutoKeepsWhatTheCheckpointHas) {
  RunConfig saved = saved_config();
  RunConfig now = saved_config();
  now.train.precision = Precision::kAuto;
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    saved.train.precision = precision;
    EXPECT_THAT(forbidden_differences(saved, now), IsEmpty());
  }
  now.train.precision = Precision::kFp32;
  EXPECT_EQ(forbidden_differences(saved, now),
            (std::vector<ConfigDifference>{{"train.precision", "bf16", "fp32"}}));
}

}  // namespace
}  // namespace hetmoe::test
