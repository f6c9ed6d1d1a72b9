#include "runtime/config_difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
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
  void operator()(std::vector<std::string>* value) const { value->emplace_back("x"); }
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
                                             "train.recompute",
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

RunConfig two_layers() {
  RunConfig config = saved_config();
  config.model.num_layers = 2;
  return config;
}

TEST(ModelDifferences, EveryKeyOfModelIsShapeMeaningOrOfTrainingOnlyAndAllElseIsFree) {
  static const std::set<std::string> meaning = {"model.rope_theta", "model.norm_epsilon",
                                                "model.router.kind", "model.router.top_k",
                                                "model.router.renormalize"};
  static const std::set<std::string> training = {
      "model.initializer_range",   "model.router.allow_untrained",
      "model.router.forced",       "model.router.parameter_penalty",
      "model.router.load_balance", "model.router.entropy",
      "model.router.penalty_form", "model.hyper.memory_limit",
      "model.router.top_p" /* top_k is configured */};
  RunConfig saved = two_layers();
  saved.model.hyper.enabled = true;
  saved.model.router.renormalize = Renormalize::kTrue;
  RunConfig listed = saved;
  const std::size_t count = list_fields(listed).size();
  for (std::size_t i = 0; i < count; ++i) {
    RunConfig now = saved;
    const std::string key = list_fields(now)[i].key;
    if (key.starts_with("model.experts.")) continue;  // below, by what comes of them
    if (key == "model.head_dim") continue;            // 0 and 1 are not neighbours
    std::visit(Change{}, list_fields(now)[i].value);
    const ModelDifferences found = model_differences(saved, now);
    std::vector<std::string> shape = keys_of(found.shape);
    std::erase(shape, "model.head_dim");  // follows from hidden_size and num_heads
    const bool is_meaning = meaning.contains(key);
    const bool is_shape = key.starts_with("model.") && !is_meaning && !training.contains(key);
    EXPECT_EQ(shape.empty() ? "" : shape.front(), is_shape ? key : "") << key;
    const std::vector<std::string> meanings = keys_of(found.meaning);
    EXPECT_EQ(std::count(meanings.begin(), meanings.end(), key), is_meaning ? 1 : 0) << key;
  }
}

TEST(ModelDifferences, WidthsCountAndNotTheKeysThatMakeThem) {
  RunConfig saved = two_layers();
  saved.model.experts = {.count = 4, .mean_width = 96, .shape = WidthShape::kHomogeneous};
  RunConfig now = two_layers();
  now.model.experts = {.count = 4, .widths = {96, 96, 96, 96}};
  EXPECT_THAT(model_differences(saved, now).shape, IsEmpty());
  now.model.experts.widths[3] = 104;
  EXPECT_EQ(model_differences(saved, now).shape,
            (std::vector<ConfigDifference>{
                {"model.experts.widths", "[96, 96, 96, 96]", "[96, 96, 96, 104]"}}));
}

TEST(ModelDifferences, WhatComesOutTheSameIsTheSame) {
  RunConfig saved = two_layers();
  RunConfig now = two_layers();
  now.model.head_dim = saved.model.hidden_size / saved.model.num_heads;
  now.model.hyper.rank = 3;  // of an expert that is not there
  now.model.router.top_p = 0.2;
  now.model.router.renormalize = Renormalize::kTrue;  // what auto is for two experts
  const ModelDifferences found = model_differences(saved, now);
  EXPECT_THAT(found.shape, IsEmpty());
  EXPECT_THAT(found.meaning, IsEmpty());
  now.model.head_dim = 32;
  EXPECT_EQ(model_differences(saved, now).shape,
            (std::vector<ConfigDifference>{{"model.head_dim", "64", "32"}}));
}

}  // namespace
}  // namespace hetmoe::test
