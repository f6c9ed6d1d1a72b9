#include "runtime/exporter/observed_coordinator.h"

#include <gtest/gtest.h>

#include "runtime/coordinator/run_coordinator.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/coordinator_test_support.h"
#include "tests/unit/exporter/exposed_text.h"

namespace hetmoe {
namespace {

TEST(ObservedCoordinator, AnswersAsTheOneBehindItAndCountsCalls) {
  const TemporaryFolder folder;
  HandClock clock;
  RunCoordinator inner(folder.path() / "journal", clock);
  RunSeries series(clock);
  ObservedCoordinator observed(inner, series);
  EXPECT_EQ(observed.join(join_of(0, 1)).generation, 1);
  observed.report_step(step_of(3));
  EXPECT_EQ(observed.command(CommandKind::kSave).number, 1);
  EXPECT_EQ(observed.heartbeat(beat_of(0)).commands.size(), 1U);
  EXPECT_EQ(observed.status().last_step.step, 3);
  StepReport unknown = step_of(4);
  unknown.member.generation = 9;
  EXPECT_THROW(observed.report_step(unknown), CoordinatorError);
  const std::string text = series.text();
  const auto calls = [&](const std::string& call, const std::string& result) {
    return value_of(
        text, "hetmoe_coordinator_calls_total{call=\"" + call + "\",result=\"" + result + "\"}");
  };
  EXPECT_EQ(calls("join", "ok"), 1);
  EXPECT_EQ(calls("report_step", "ok"), 1);
  EXPECT_EQ(calls("heartbeat", "ok"), 1);
  EXPECT_EQ(calls("report_step", "not_joined").value_or(0) +
                calls("report_step", "stale").value_or(0) +
                calls("report_step", "invalid").value_or(0),
            1);
  EXPECT_EQ(value_of(text, R"(hetmoe_commands_total{command="save"})"), 1);
  EXPECT_EQ(value_of(text, "hetmoe_step"), 3) << "what was refused is not shown";
}

}  // namespace
}  // namespace hetmoe
