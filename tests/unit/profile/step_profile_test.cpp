#include "runtime/profile/step_profile.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "tests/support/hand_clock.h"

namespace hetmoe {
namespace {

using test::HandClock;

constexpr Roofline kRoofline{.flops_per_second = 100, .bytes_per_second = 50};
const ProfileSubject kSubject{
    .rank = 1, .ranks = 2, .precision = "bf16", .threads = 1, .tokens = 160, .model_flops = 320};

/// Two equal steps of 9.5 s: forward 5.5 s, of which a product takes 1 s alone and, with 1 s in it
/// for a copy, 2.5 s; backward 2 s with nothing told; 2 s after the last phase.
void record_step(StepRecording& recording, HandClock& clock, std::int64_t step) {
  recording.begin_step(step);
  {
    const Operation product("product", {.flops = 60, .bytes = 10});
    clock.seconds += 1;
  }
  {
    const Operation product("product", {.flops = 90, .bytes = 10});
    clock.seconds += 1.5;
    const Operation copy("copy", {.bytes = 40});
    clock.seconds += 1;
  }
  clock.seconds += 2;
  operation_listener->phase_ended("forward");
  clock.seconds += 2;
  operation_listener->phase_ended("backward");
  clock.seconds += 2;
  recording.end_step();
  clock.seconds += 7;  // between steps: nobody's
}

std::vector<RecordedStep> recorded() {
  HandClock clock;
  StepRecording recording(clock);
  record_step(recording, clock, 5);
  record_step(recording, clock, 6);
  return recording.steps();
}

void expect_line(const ProfileLine& line, const char* phase, const char* operation, double calls,
                 double seconds) {
  EXPECT_EQ(line.phase, phase);
  EXPECT_EQ(line.operation, operation);
  EXPECT_DOUBLE_EQ(line.calls, calls);
  EXPECT_DOUBLE_EQ(line.seconds, seconds);
}

TEST(StepProfile, every_second_of_a_step_is_in_one_line) {
  const StepProfile profile = profile_of(recorded());
  EXPECT_EQ(profile.first_step, 5);
  EXPECT_EQ(profile.last_step, 6);
  EXPECT_DOUBLE_EQ(profile.step_seconds, 9.5);
  ASSERT_EQ(profile.lines.size(), 5);
  expect_line(profile.lines[0], "forward", "product", 2, 2.5);
  expect_line(profile.lines[1], "forward", "(not told)", 1, 2);
  expect_line(profile.lines[2], "forward", "copy", 1, 1);
  expect_line(profile.lines[3], "backward", "(not told)", 1, 2);
  expect_line(profile.lines[4], "between", "(not told)", 1, 2);
}

TEST(StepProfile, what_is_computed_again_is_told_apart) {
  HandClock clock;
  StepRecording recording(clock);
  recording.begin_step(1);
  {
    const Operation recomputation(kRecomputation, {});
    clock.seconds += 0.5;
    const Operation product("product", {.flops = 60});
    clock.seconds += 3;
    const Operation copy("copy", {});
    clock.seconds += 1;
  }
  {
    const Operation product("product", {.flops = 60});
    clock.seconds += 2;
  }
  operation_listener->phase_ended("backward");
  recording.end_step();
  const StepProfile profile = profile_of(recording.steps());
  ASSERT_GE(profile.lines.size(), 4);
  expect_line(profile.lines[0], "backward", "again: product", 1, 3);
  expect_line(profile.lines[1], "backward", "product", 1, 2);
  expect_line(profile.lines[2], "backward", "again: copy", 1, 1);
  expect_line(profile.lines[3], "backward", "recompute", 1, 0.5);
}

TEST(StepProfile, bounds_are_by_operations_or_bytes_and_losses_sum_to_the_gap) {
  const StepProfile profile = profile_of(recorded());
  EXPECT_DOUBLE_EQ(profile.lines[0].share_of_roofline(kRoofline), 150.0 / 100 / 2.5);
  EXPECT_DOUBLE_EQ(profile.lines[2].share_of_roofline(kRoofline), 40.0 / 50 / 1);
  EXPECT_DOUBLE_EQ(profile.lines[1].share_of_roofline(kRoofline), 0);
  double lost = 0;
  for (const ProfileLine& line : profile.lines) lost += line.seconds_over_peak(kRoofline);
  EXPECT_DOUBLE_EQ(lost, 9.5 - 150.0 / 100);
}

TEST(StepProfile, the_table_tells_rates_and_stays_narrow) {
  const std::string table = profile_table(profile_of(recorded()), kSubject, kRoofline);
  EXPECT_NE(table.find("rank 1 of 2, bf16, 1 thread\n"), std::string::npos) << table;
  EXPECT_NE(table.find("16.8 tokens/s"), std::string::npos) << table;
  EXPECT_NE(table.find("16.8 % of a product"), std::string::npos) << table;
  for (std::size_t begin = 0; begin < table.size();) {
    const std::size_t end = table.find('\n', begin);
    EXPECT_LE(end - begin, 100) << table.substr(begin, end - begin);
    begin = end + 1;
  }
}

TEST(StepProfile, a_trace_has_steps_phases_and_operations_of_the_rank) {
  const auto trace = nlohmann::json::parse(chrome_trace(recorded(), kSubject));
  const auto& events = trace.at("traceEvents");
  ASSERT_EQ(events.size(), 1 + 2 * (1 + 2 + 3));
  const auto& copy = events.at(5);
  EXPECT_EQ(copy.at("name"), "copy");
  EXPECT_EQ(copy.at("ph"), "X");
  EXPECT_DOUBLE_EQ(copy.at("ts").get<double>(), 2.5e6);
  EXPECT_DOUBLE_EQ(copy.at("dur").get<double>(), 1e6);
  EXPECT_EQ(copy.at("pid"), 1);
  EXPECT_DOUBLE_EQ(copy.at("args").at("bytes").get<double>(), 40);
}

TEST(StepRecording, nobody_is_heard_before_and_after_a_step_or_on_another_thread) {
  HandClock clock;
  StepRecording recording(clock);
  { const Operation before("before", {}); }
  recording.begin_step(1);
  std::thread([] { const Operation elsewhere("elsewhere", {}); }).join();
  operation_listener->phase_ended("all");
  recording.end_step();
  { const Operation after("after", {}); }
  EXPECT_EQ(operation_listener, nullptr);
  ASSERT_EQ(recording.steps().size(), 1);
  EXPECT_TRUE(recording.steps()[0].phases[0].scopes.empty());
}

TEST(StepRecording, one_that_goes_while_it_listens_leaves_nobody_behind) {
  HandClock clock;
  {
    StepRecording recording(clock);
    recording.begin_step(1);
  }
  EXPECT_EQ(operation_listener, nullptr);
}

}  // namespace
}  // namespace hetmoe
