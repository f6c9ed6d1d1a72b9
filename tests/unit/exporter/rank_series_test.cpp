#include "runtime/exporter/rank_series.h"

#include <gtest/gtest.h>

#include "tests/unit/coordinator/coordinator_test_support.h"
#include "tests/unit/exporter/exposed_text.h"

namespace hetmoe {
namespace {

RankStep step_with(std::int64_t step) {
  return {.step = step,
          .step_seconds = 2,
          .phases = {.dispatch_wait = 0.25, .expert = 1, .combine_wait = 0.5},
          .bytes = {.dispatch = 100, .combine = 50, .gradients = 7, .parameters = 3},
          .expert_flops = 1e9,
          .memory_bytes = 4096,
          .device_memory_bytes = 8192};
}

TEST(RankSeries, AddsUpWhatThisRankDidAndTellsWhereItIs) {
  HandClock clock;
  RankSeries series(clock);
  series.add(step_with(11));
  clock.now = 1234.5;
  series.add(step_with(12));
  series.set_coordinator_reached(true);
  const std::string text = series.text();
  EXPECT_EQ(value_of(text, "hetmoe_rank_steps_total"), 2);
  EXPECT_EQ(value_of(text, "hetmoe_rank_step"), 12);
  EXPECT_EQ(value_of(text, "hetmoe_rank_last_step_timestamp_seconds"), 1234.5);
  EXPECT_EQ(value_of(text, "hetmoe_rank_step_seconds_total"), 4);
  EXPECT_EQ(value_of(text, R"(hetmoe_rank_phase_seconds_total{phase="dispatch_wait"})"), 0.5);
  EXPECT_EQ(value_of(text, R"(hetmoe_rank_phase_seconds_total{phase="other"})"), 0.5)
      << "phases sum to the step";
  EXPECT_EQ(value_of(text, R"(hetmoe_rank_all_to_all_bytes_total{direction="dispatch"})"), 200);
  EXPECT_EQ(value_of(text, R"(hetmoe_rank_all_to_all_bytes_total{direction="combine"})"), 100);
  EXPECT_EQ(value_of(text, "hetmoe_rank_gradient_bytes_total"), 14);
  EXPECT_EQ(value_of(text, "hetmoe_rank_parameter_bytes_total"), 6);
  EXPECT_EQ(value_of(text, "hetmoe_rank_expert_flops_total"), 2e9);
  EXPECT_EQ(value_of(text, "hetmoe_rank_resident_memory_peak_bytes"), 4096);
  EXPECT_EQ(value_of(text, "hetmoe_rank_device_memory_peak_bytes"), 8192);
  EXPECT_EQ(value_of(text, "hetmoe_rank_coordinator_reached"), 1);
}

TEST(RankSeries, ShowsLayersAndExpertsOnlyWhenTold) {
  HandClock clock;
  RankSeries series(clock);
  series.add(step_with(1));
  EXPECT_EQ(series.text().find("hetmoe_layer_expert_tokens_total"), std::string::npos);
  const std::vector<std::vector<std::int64_t>> load = {{5, 0}, {2, 3}};
  for (std::int64_t step = 2; step <= 3; ++step) {
    RankStep detailed = step_with(step);
    detailed.load = &load;
    series.add(detailed);
  }
  const std::string text = series.text();
  EXPECT_EQ(value_of(text, R"(hetmoe_layer_expert_tokens_total{expert="0",layer="0"})"), 10);
  EXPECT_EQ(value_of(text, R"(hetmoe_layer_expert_tokens_total{expert="1",layer="0"})"), 0);
  EXPECT_EQ(value_of(text, R"(hetmoe_layer_expert_tokens_total{expert="1",layer="1"})"), 6);
}

}  // namespace
}  // namespace hetmoe
