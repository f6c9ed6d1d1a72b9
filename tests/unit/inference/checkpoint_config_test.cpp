#include "runtime/inference/checkpoint_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::HasSubstr;

const std::string kYaml =
    "data: {train: random}\ntrain: {seed: 9}\nevaluate: {every_steps: 0}\n"
    "parallel: {threads: 3, expert_group_size: 5}\n";

TEST(CheckpointConfig, IsThatOfTheRunButForItsGroups) {
  const RunConfig config = config_of_checkpoint(kYaml, "runs/a", {});
  EXPECT_EQ(config.train.seed, 9U);
  EXPECT_EQ(config.parallel.threads, 3);
  EXPECT_EQ(config.parallel.expert_group_size, 0);
}

TEST(CheckpointConfig, SettingsOfParallelCount) {
  const RunConfig config =
      config_of_checkpoint(kYaml, "runs/a", {"parallel.threads=1", "parallel.expert_group_size=2"});
  EXPECT_EQ(config.parallel.threads, 1);
  EXPECT_EQ(config.parallel.expert_group_size, 2);
}

TEST(CheckpointConfig, OtherOrFaultySettingsAreConfigurationErrors) {
  const auto says = [](const std::string& setting) {
    return message_of<ConfigError>([&] { config_of_checkpoint(kYaml, "runs/a", {setting}); });
  };
  for (const char* setting : {"train.seed=1", "parallel=1", "parallelism.threads=1", "", "x"}) {
    EXPECT_THAT(says(setting), HasSubstr("allowed: keys of parallel")) << setting;
  }
  EXPECT_THAT(says("parallel.threads=-1"), HasSubstr("--set parallel.threads=-1"));
  EXPECT_THAT(says("parallel.thread=1"), HasSubstr("unknown key"));
}

TEST(CheckpointConfig, WhatNobodyTypedIsAStorageError) {
  for (const char* yaml : {"", "train: [", "model: {no_such_key: 1}", "data: {train: random}"}) {
    EXPECT_THAT(message_of<StorageError>([&] { config_of_checkpoint(yaml, "runs/a/step-1", {}); }),
                HasSubstr("runs/a/step-1 (its configuration)"))
        << yaml;
  }
}

}  // namespace
}  // namespace hetmoe
