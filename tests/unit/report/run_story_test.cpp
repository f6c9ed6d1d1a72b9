#include <gmock/gmock.h>

#include <cmath>

#include "runtime/metrics/lock_holder.h"
#include "runtime/report/story/line_file.h"
#include "runtime/report/story/metrics_csv.h"
#include "runtime/report/story/read_story.h"
#include "tests/unit/report/run_folder.h"

namespace hetmoe {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

const StoryEnd kDone{.code = 0, .reason = "finished"};

class StoryOfARun : public testing::Test {
 protected:
  RunStory read(const std::optional<StoryEnd>& end = kDone) {
    return read_run_story(run_.path(), end, RunFolder::kBegin + 1000);
  }
  RunFolder run_;
};

TEST_F(StoryOfARun, KeepsTheLastLineOfEachStepAndCountsTheOthers) {
  for (int step = 1; step <= 4; ++step) run_.step(step);
  run_.step(3, R"(,"grad_norm":7)", 2);
  run_.step(4, "", 2);
  const RunStory story = read();
  ASSERT_THAT(story.steps, SizeIs(4));
  EXPECT_EQ(story.steps[2].step, 3);
  EXPECT_EQ(story.steps[2].generation, 2);
  EXPECT_EQ(story.steps[2].grad_norm, 7);
  EXPECT_EQ(story.repeated_steps, 2);
  EXPECT_DOUBLE_EQ(story.repeated_seconds, 1.0);
}

TEST_F(StoryOfARun, ReadsWhatNewerRunsTellAndDoesWithoutIt) {
  run_.step(1);
  run_.step(2, R"(,"expert_tokens":[5,7,9],"rank_expert_flops":[1.5e9,2e9],"memory_bytes":4096,)"
               R"("aux":{"load_balance":2.5},"phase_seconds":{"expert":0.25},"unheard_of":[{}])");
  const RunStory story = read();
  EXPECT_THAT(story.steps[0].expert_tokens, IsEmpty());
  EXPECT_TRUE(std::isnan(story.steps[0].memory_bytes));
  EXPECT_THAT(story.steps[1].expert_tokens, ElementsAre(5, 7, 9));
  EXPECT_THAT(story.steps[1].rank_expert_flops, ElementsAre(1.5e9, 2e9));
  EXPECT_EQ(story.steps[1].memory_bytes, 4096);
  EXPECT_EQ(story.steps[1].load_balance, 2.5);
  EXPECT_EQ(story.steps[1].phase_seconds[3], 0.25);
  EXPECT_TRUE(std::isnan(story.steps[1].phase_seconds[0]));
}

TEST_F(StoryOfARun, EvaluationsOfAStepThatCameAgainCountOnce) {
  run_.metrics(R"({"step":50,"generation":1,"eval_loss":5,"eval_tokens":9,"eval_bits_per_byte":2})"
               "\n");
  run_.metrics(R"({"step":50,"generation":2,"eval_loss":4,"eval_tokens":9,"eval_bits_per_byte":1})"
               "\n");
  const RunStory story = read();
  ASSERT_THAT(story.evaluations, SizeIs(1));
  EXPECT_EQ(story.evaluations[0].loss, 4);
}

TEST_F(StoryOfARun, NamesDamageAndGoesOn) {
  run_.step(1);
  run_.metrics("{\"step\":2,\"loss\n");
  run_.metrics("[1,2]\n\n");
  run_.metrics(R"({"step":-3,"loss":1})"
               "\n");
  run_.metrics(R"({"step":1e99,"loss":1})"
               "\n");
  run_.metrics(R"({"step":5,"loss":null,"step_seconds":"soon","expert_tokens":[1,"two"]})"
               "\n");
  run_.metrics(R"({"step":6,"generation":1,"lo)");
  const RunStory story = read();
  ASSERT_THAT(story.steps, SizeIs(2));
  EXPECT_TRUE(std::isnan(story.steps[1].loss));
  EXPECT_TRUE(std::isnan(story.steps[1].step_seconds));
  EXPECT_THAT(story.steps[1].expert_tokens, IsEmpty());
  EXPECT_THAT(story.passed_over,
              Contains("metrics.jsonl: 5 of 7 lines damaged, the first is line 2"));
  EXPECT_THAT(story.passed_over, Contains("metrics.jsonl: the last line is not complete"));
  EXPECT_THAT(story.passed_over, Contains("events.jsonl: is not there"));
  EXPECT_THAT(story.passed_over, Contains("config.yaml: is not there"));
}

TEST_F(StoryOfARun, ALineBeyondAllBoundsIsOneDamagedLine) {
  run_.step(1);
  run_.metrics("{\"step\":2,\"loss\":1" + std::string(3 * kLongestLineBytes, ' ') + "}\n");
  run_.step(3);
  const RunStory story = read();
  ASSERT_THAT(story.steps, SizeIs(2));
  EXPECT_EQ(story.steps[1].step, 3);
}

TEST_F(StoryOfARun, NumbersOutOfAllProportionAreNoNumbers) {
  run_.step(1, R"(,"grad_norm":1e300,"memory_bytes":1e999)");
  const RunStory story = read();
  ASSERT_THAT(story.steps, SizeIs(0));  // 1e999 is no JSON number that anybody can hold
  run_.step(2, R"(,"grad_norm":1e300)");
  EXPECT_TRUE(std::isnan(read().steps.at(0).grad_norm));
}

TEST_F(StoryOfARun, StartsEndAsTheirEventsSay) {
  run_.event("started", 0, 0, R"(,"ranks":4,"precision":"bf16")");
  run_.step(1);
  run_.step(2);
  run_.event("rank_lost", 2, 30, R"(,"code":4,"reason":"rank 3 is gone","restart":1)");
  run_.event("started", 1, 60, R"(,"ranks":3)", 2);
  run_.step(2, "", 2);
  run_.event("stopped", 2, 90, R"(,"reason":"signal")", 2);
  run_.event("started", 2, 100, R"(,"ranks":2)", 3);
  run_.event("finished", 2, 130, "", 3);
  const RunStory story = read();
  ASSERT_THAT(story.starts, SizeIs(3));
  EXPECT_EQ(story.starts[0].end, "rank_lost: rank 3 is gone");
  EXPECT_EQ(story.starts[0].first_step, 1);
  EXPECT_EQ(story.starts[1].end, "stopped: signal");
  EXPECT_EQ(story.starts[1].last_step, 2);
  EXPECT_EQ(story.starts[2].end, "finished");
  EXPECT_LT(story.starts[2].last_step, story.starts[2].first_step);
  EXPECT_EQ(story.ranks(), 2);
  EXPECT_NEAR(story.history.wall_seconds, 130, 1e-3);  // not until now: it has ended
  EXPECT_THAT(story.incidents, SizeIs(2));
  EXPECT_EQ(story.incidents[0].details, "code 4; reason rank 3 is gone; restart 1");
}

TEST_F(StoryOfARun, ARebalanceAndItsGainAreOne) {
  run_.event("started", 0, 0);
  run_.event("rebalance", 20, 1,
             R"(,"stage":"moved","predicted_gain_seconds":0.5,)"
             R"("flops_max_over_mean_before":1.4,"moving_bytes":100)");
  run_.event("rebalance", 40, 2, R"(,"stage":"moved","predicted_gain_seconds":0.1)");
  run_.event("rebalance", 40, 2,
             R"(,"stage":"measured","moved_after_step":20,)"
             R"("measured_gain_seconds":0.25)");
  const RunStory story = read();
  ASSERT_THAT(story.rebalances, SizeIs(2));
  EXPECT_EQ(story.rebalances[0].measured_gain_seconds, 0.25);
  EXPECT_EQ(story.rebalances[0].flops_max_over_mean_before, 1.4);
  EXPECT_TRUE(std::isnan(story.rebalances[1].measured_gain_seconds));
}

TEST_F(StoryOfARun, MovesThatARestartHasUndoneAreNotToldOf) {
  run_.event("started", 0, 0);
  run_.event("rebalance", 20, 1, R"(,"stage":"moved","moving_bytes":1)");
  run_.event("rebalance", 40, 2, R"(,"stage":"moved","moving_bytes":2)");
  run_.event("started", 30, 3, "", 2);
  run_.event("rebalance", 50, 4, R"(,"stage":"moved","moving_bytes":3)", 2);
  const RunStory story = read();
  ASSERT_THAT(story.rebalances, SizeIs(2));
  EXPECT_EQ(story.rebalances[0].moving_bytes, 1);
  EXPECT_EQ(story.rebalances[1].moving_bytes, 3);
}

TEST_F(StoryOfARun, WidthsComeFromTheConfigurationOfAnyVersion) {
  run_.add(
      "config.yaml",
      "model:\n  experts: {count: 4, mean_width: 32, key_of_tomorrow: 1}\nnew: {key: [1, 2]}\n");
  const RunStory story = read();
  EXPECT_THAT(story.widths, ElementsAre(18, 27, 37, 46));
  EXPECT_EQ(story.config_value("new.key"), "[1, 2]");
  EXPECT_EQ(story.config_value("model.experts.count"), "4");
}

TEST_F(StoryOfARun, WidthsComeFromThePlanWhereNoConfigurationTells) {
  run_.add("config.yaml", "model: {experts: [[[\n");
  run_.add("plan.json",
           R"({"layers":[{"slices":[{"expert":0,"rank":1,"begin":0,"end":8,"share":1.0},)"
           R"({"expert":1,"rank":0,"begin":0,"end":16,"share":1.0},)"
           R"({"expert":1,"rank":1,"begin":16,"end":24,"share":1.0}],)"
           R"("flops_max_over_mean":1.0,"traffic_ratio":1.0}],"memory_max_over_mean":1.0,)"
           R"("predicted_step_seconds":null,"bound_by":"none"})");
  const RunStory story = read();
  EXPECT_THAT(story.widths, ElementsAre(8, 24));
  EXPECT_EQ(story.ranks(), 2);
  EXPECT_THAT(story.passed_over, Contains(StartsWith("config.yaml:")));
}

TEST_F(StoryOfARun, APlanWithARankBeyondAllBoundsIsPassedOver) {
  run_.add("plan.json",
           R"({"layers":[{"slices":[{"expert":0,"rank":20000,"begin":0,"end":8,"share":1.0}],)"
           R"("flops_max_over_mean":1.0,"traffic_ratio":1.0}],"memory_max_over_mean":1.0,)"
           R"("predicted_step_seconds":null,"bound_by":"none"})");
  const RunStory story = read();
  EXPECT_FALSE(story.plan.has_value());
  EXPECT_THAT(story.passed_over, Contains(StartsWith("plan.json:")));
}

TEST_F(StoryOfARun, TheStateFollowsFromTheExitAndTheLock) {
  run_.step(1);
  EXPECT_EQ(read(StoryEnd{0, "finished"}).state, RunState::kFinished);
  EXPECT_EQ(read(StoryEnd{75, "signal"}).state, RunState::kStopped);
  EXPECT_EQ(read(StoryEnd{93, "stop"}).state, RunState::kStopped);
  EXPECT_EQ(read(StoryEnd{4, "rank 1"}).state, RunState::kFailed);
  EXPECT_THAT(read(StoryEnd{4, "rank 1"}).state_reason, HasSubstr("rank 1 (code 4)"));
  EXPECT_EQ(read({}).state, RunState::kLost);
  LockHolder holder = this_process();
  run_.add("lock.json", write_lock_holder(holder));
  EXPECT_EQ(read({}).state, RunState::kRunning);
  std::filesystem::remove(run_.path() / "lock.json");
  holder.process_start += 1;  // the number was given to another process since
  run_.add("lock.json", write_lock_holder(holder));
  EXPECT_EQ(read({}).state, RunState::kLost);
  std::filesystem::remove(run_.path() / "lock.json");
  holder = this_process();
  holder.host = "elsewhere";
  run_.add("lock.json", write_lock_holder(holder));
  EXPECT_EQ(read({}).state, RunState::kRunning);
  std::filesystem::last_write_time(
      run_.path() / "lock.json",
      std::filesystem::file_time_type::clock::now() - std::chrono::hours(3));
  EXPECT_EQ(read({}).state, RunState::kLost);
  EXPECT_THAT(read({}).state_reason, HasSubstr("silent for 3 h"));
}

TEST_F(StoryOfARun, OnlyEventsAreAStoryToo) {
  run_.event("started", 0, 0, R"(,"ranks":4)");
  const RunStory story = read({});
  EXPECT_THAT(story.steps, IsEmpty());
  EXPECT_EQ(story.ranks(), 4);
}

TEST(RunDirectories, AreKnownByTheirFiles) {
  const TemporaryFolder folder;
  EXPECT_FALSE(is_run_directory(folder.path()));
  EXPECT_FALSE(is_run_directory(folder.path() / "absent"));
  folder.write("events.jsonl", "");
  EXPECT_TRUE(is_run_directory(folder.path()));
  EXPECT_EQ(run_directory_name("runs/a/"), "a");
  EXPECT_EQ(run_directory_name("runs/a/../b"), "b");
}

std::string csv_of(const std::vector<std::filesystem::path>& runs) {
  std::string csv;
  write_metrics_csv(runs, [&](std::string_view part) { csv += part; });
  return csv;
}

TEST(MetricsCsv, HoldsTheLastLineOfEachStepUnderOneHeader) {
  RunFolder run, other;
  run.metrics(R"({"step":1,"loss":3.25,"aux":{"load_balance":1e-3}})"
              "\n");
  run.metrics(R"({"step":2,"loss":2,"expert_tokens":[4,5]})"
              "\n");
  run.metrics(R"({"step":2,"eval_loss":9})"
              "\n");
  run.metrics(R"({"step":2,"loss":1.5,"expert_tokens":[6,7],"flag":true,"text":"=1+1"})"
              "\n{torn");
  other.metrics(R"({"step":7,"loss":null,"more":8,"b,ad\"name":1})"
                "\n");
  const std::string name = run.path().filename(), second = other.path().filename();
  EXPECT_EQ(csv_of({run.path(), other.path()}),
            "run,step,loss,aux.load_balance,expert_tokens.0,expert_tokens.1,flag,more\n" + name +
                ",1,3.25,0.001,,,,\n" + name + ",2,1.5,,6,7,1,\n" + second + ",7,,,,,,8\n");
}

TEST(MetricsCsv, FieldsAreQuotedAndNeverFormulas) {
  EXPECT_EQ(csv_field("plain"), "plain");
  EXPECT_EQ(csv_field("a,b\"c"), "\"a,b\"\"c\"");
  EXPECT_EQ(csv_field("=cmd"), "'=cmd");
  EXPECT_EQ(csv_field("@x,y"), "\"'@x,y\"");
}

}  // namespace
}  // namespace hetmoe
