#include "runtime/metrics/run_history.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "runtime/metrics/utc_time.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

class History : public testing::Test {
 protected:
  RunHistory read(const std::string& events, const std::string& metrics, double now) {
    std::ofstream(folder_ / "events.jsonl") << events;
    std::ofstream(folder_ / "metrics.jsonl") << metrics;
    return read_run_history(RunDirectory::open(folder_.path()), now);
  }
  static std::string event(const std::string& name, int generation, double time,
                           const std::string& more = "") {
    return R"({"time":")" + iso8601_utc(time) + R"(","generation":)" + std::to_string(generation) +
           R"(,"event":")" + name + "\"" + more + "}\n";
  }
  TemporaryFolder folder_;
};

TEST_F(History, StepsThatWereTrainedTwiceCountOnceAndFailuresAreGenerationsWithoutAnEnd) {
  const double start = 1.7e9;
  const std::string events = event("started", 1, start) +
                             event("save_committed", 1, start, R"(,"blocked_seconds":0.5)") +
                             event("started", 2, start + 20) + event("stopped", 2, start + 30) +
                             event("started", 3, start + 40) +
                             event("save_committed", 3, start, R"(,"blocked_seconds":1.5)") +
                             event("started", 4, start + 90) + "{torn\n";
  const RunHistory history = read(events,
                                  R"({"step":1,"step_seconds":10}
{"step":2,"step_seconds":10}
{"step":2,"eval_loss":3}
{"step":2,"step_seconds":12}
[1]
{"step":3,"step_seconds":8}
)",
                                  start + 100);
  EXPECT_EQ(history.starts, 4);
  EXPECT_EQ(history.failures, 2);  // the first and the third
  EXPECT_NEAR(history.productive_seconds, 30, 1e-9);
  EXPECT_NEAR(history.wall_seconds, 100, 1e-3);
  EXPECT_NEAR(history.effective_time_ratio().value(), 0.3, 1e-4);
  EXPECT_NEAR(history.save_seconds, 1.0, 1e-9);
  // A failure every 50 s, a save of 1 s: 1 + sqrt(100 + 1).
  EXPECT_NEAR(history.best_save_interval_seconds().value(), 1 + std::sqrt(101.0), 1e-3);
}

TEST_F(History, WithoutFailuresThereIsNoAdviceAndWithoutStepsNoRatio) {
  const RunHistory history = read(event("started", 1, 1.7e9), "", 1.7e9 + 5);
  EXPECT_FALSE(history.effective_time_ratio());
  EXPECT_FALSE(history.best_save_interval_seconds());
  EXPECT_EQ(read_run_history(RunDirectory::open(folder_.path() / "gone"), 5).starts, 0);
}

TEST(SecondsOfIso8601, IsTheInverseAndRefusesOtherTexts) {
  for (const double seconds : {0.0, 951782400.125, 1.7e9 + 0.5}) {
    EXPECT_NEAR(seconds_of_iso8601(iso8601_utc(seconds)).value(), seconds, 1e-3);
  }
  for (const char* text : {"", "2026", "2026-13-01T00:00:00.000Z", "yesterday"}) {
    EXPECT_FALSE(seconds_of_iso8601(text)) << text;
  }
}

}  // namespace
}  // namespace hetmoe
