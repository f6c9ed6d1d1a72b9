#include "runtime/exporter/run_series.h"

#include <gtest/gtest.h>

#include "tests/unit/coordinator/coordinator_test_support.h"
#include "tests/unit/exporter/exposed_text.h"

namespace hetmoe {
namespace {

StepReport report_of(std::int64_t step, int generation = 1) {
  StepReport report = step_of(step);
  StepRecord& record = report.record;
  report.member.generation = generation;
  record.generation = generation;
  record.tokens = 100 * step;
  record.loss = 3.5;
  record.skipped = step > 2 ? 1 : 0;
  record.step_seconds = 0.25;
  record.model_flops_per_second = 8e9;
  record.phase_seconds.expert = 0.125;
  record.bytes = {.dispatch = 30,
                  .combine = 20,
                  .gradients = 5,
                  .parameters = 4,
                  .parameters_hidden = 3,
                  .other_node = 7};
  record.expert_tokens = {60, 40};
  record.layer_flops_max_over_mean = {1.25, 1.5};
  record.flops_max_over_mean = 1.375;
  report.progress.planned_steps = 1000;
  report.progress.productive_seconds = 30;
  report.progress.elapsed_seconds = 40;
  report.progress.rebalances = step;
  report.progress.predicted_expert_seconds = 0.0625;
  report.progress.expert_widths = {72, 88};
  return report;
}

class RunSeriesTest : public ::testing::Test {
 protected:
  double value(const std::string& name) const {
    const auto found = value_of(series.text(), name);
    EXPECT_TRUE(found) << name;
    return found.value_or(-1);
  }
  HandClock clock;
  RunSeries series{clock};
};

TEST_F(RunSeriesTest, CountsStepsFromItsOwnStartAndShowsWhereTheRunIs) {
  series.report(report_of(501));
  clock.now = 2000;
  series.report(report_of(502));
  EXPECT_EQ(value("hetmoe_steps_total"), 2);
  EXPECT_EQ(value("hetmoe_tokens_total"), 200) << "a jump would look like a burst of speed";
  EXPECT_EQ(value("hetmoe_trained_tokens"), 50200);
  EXPECT_EQ(value("hetmoe_step"), 502);
  EXPECT_EQ(value("hetmoe_planned_steps"), 1000);
  EXPECT_EQ(value("hetmoe_loss"), 3.5);
  EXPECT_EQ(value("hetmoe_last_step_timestamp_seconds"), 2000);
  EXPECT_EQ(value("hetmoe_model_flops_total"), 4e9);
  EXPECT_EQ(value(R"(hetmoe_expert_tokens_total{expert="1"})"), 80);
  EXPECT_EQ(value(R"(hetmoe_expert_width{expert="1"})"), 88);
  EXPECT_EQ(value(R"(hetmoe_flops_max_over_mean_ratio{layer="1"})"), 1.5);
  EXPECT_EQ(value("hetmoe_step_flops_max_over_mean_ratio"), 1.375);
  EXPECT_EQ(value(R"(hetmoe_all_to_all_bytes_total{direction="dispatch"})"), 60);
  EXPECT_EQ(value(R"(hetmoe_all_to_all_bytes_total{direction="combine"})"), 40);
  EXPECT_EQ(value("hetmoe_other_node_bytes_total"), 14);
  EXPECT_EQ(value("hetmoe_step_duration_seconds_count"), 2);
  EXPECT_EQ(value(R"(hetmoe_step_duration_seconds_bucket{le="0.2"})"), 0);
  EXPECT_EQ(value(R"(hetmoe_step_duration_seconds_bucket{le="0.5"})"), 2);
  EXPECT_EQ(value(R"(hetmoe_phase_duration_seconds_sum{phase="expert"})"), 0.25);
  EXPECT_EQ(value("hetmoe_effective_training_time_ratio"), 0.75);
  EXPECT_EQ(value("hetmoe_parameter_hidden_bytes_total"), 6);
  EXPECT_EQ(value("hetmoe_plan_predicted_expert_seconds"), 0.0625);
  EXPECT_EQ(value("hetmoe_rebalances_total"), 1) << "those before the first report are not ours";
}

TEST_F(RunSeriesTest, AStepThatIsReportedTwiceCountsOnce) {
  for (const std::int64_t step : {1, 2, 2, 1, 3}) series.report(report_of(step));
  EXPECT_EQ(value("hetmoe_steps_total"), 3);
  EXPECT_EQ(value("hetmoe_skipped_steps_total"), 1);
}

TEST_F(RunSeriesTest, ALaterStartDoesItsStepsAgain) {
  series.report(report_of(10, 1));
  series.report(report_of(6, 2));
  series.report(report_of(11, 1));
  EXPECT_EQ(value("hetmoe_step"), 6);
  EXPECT_EQ(value("hetmoe_generation"), 2);
  EXPECT_EQ(value("hetmoe_steps_total"), 2) << "a late report of an earlier start is nobody's";
}

TEST_F(RunSeriesTest, ANumberThatIsNoneIsShownAndAddsNothing) {
  StepReport report = report_of(1);
  report.record.loss = kNotANumber;
  report.record.model_flops_per_second = kNotANumber;
  series.report(report);
  EXPECT_NE(series.text().find("\nhetmoe_loss Nan\n"), std::string::npos);
  EXPECT_EQ(value("hetmoe_model_flops_total"), 0);
}

TEST_F(RunSeriesTest, CommitsAreCountedAndOldOnesShown) {
  CoordinatorStatus status;
  status.run = "tiny";
  status.committed = {.step = 40, .bytes = 7, .seconds = 2, .wall_seconds = 900};
  series.describe(status);
  EXPECT_EQ(value("hetmoe_checkpoint_last_success_step"), 40);
  EXPECT_EQ(value("hetmoe_checkpoint_commits_total"), 0);
  const CommittedCheckpoint newer = {.step = 50, .bytes = 9, .seconds = 3, .wall_seconds = 1000};
  series.committed(newer);
  series.committed(newer);
  series.describe(status);
  EXPECT_EQ(value("hetmoe_checkpoint_commits_total"), 1);
  CommittedCheckpoint again = newer;  // found damaged, and saved anew by a later start
  again.member.generation = 2;
  series.committed(again);
  EXPECT_EQ(value("hetmoe_checkpoint_commits_total"), 2);
  EXPECT_EQ(value("hetmoe_checkpoint_last_success_step"), 50);
  EXPECT_EQ(value("hetmoe_checkpoint_last_success_timestamp_seconds"), 1000);
  EXPECT_EQ(value("hetmoe_checkpoint_size_bytes"), 9);
}

TEST_F(RunSeriesTest, ShowsWhoTakesPart) {
  CoordinatorStatus status;
  status.run = "tiny \"a\"\n";
  status.ranks = 3;
  status.members = {{.rank = 0, .joined = true}, {.rank = 1, .joined = true}, {.rank = 2}};
  status.members.resize(4);
  status.members[3].joined = true;
  status.members[3].last.phase = "ended";
  status.silent_ranks = {1};
  status.behind_ranks = {0, 1};
  series.describe(status);
  EXPECT_EQ(value("hetmoe_ranks"), 3);
  EXPECT_EQ(value("hetmoe_ranks_joined"), 2);
  EXPECT_EQ(value("hetmoe_ranks_silent"), 1);
  EXPECT_EQ(value("hetmoe_ranks_behind"), 2);
  EXPECT_EQ(value(R"(hetmoe_run_info{name="tiny \"a\"\n"})"), 1);
  status.run = "other";
  series.describe(status);
  EXPECT_EQ(value(R"(hetmoe_run_info{name="other"})"), 1);
  EXPECT_FALSE(value_of(series.text(), R"(hetmoe_run_info{name="tiny \"a\"\n"})"));
}

TEST_F(RunSeriesTest, ManyExpertsAreNotShownOneByOne) {
  StepReport report = report_of(1);
  report.record.expert_tokens.assign(1025, 1);
  report.record.layer_flops_max_over_mean.assign(1025, 1.0);
  report.progress.expert_widths.assign(1025, 1);
  series.report(report);
  const std::string text = series.text();
  EXPECT_FALSE(value_of(text, R"(hetmoe_expert_tokens_total{expert="0"})"));
  EXPECT_FALSE(value_of(text, R"(hetmoe_expert_width{expert="0"})"));
  EXPECT_FALSE(value_of(text, R"(hetmoe_flops_max_over_mean_ratio{layer="0"})"));
  EXPECT_EQ(value_of(text, "hetmoe_steps_total"), 1);
}

}  // namespace
}  // namespace hetmoe
