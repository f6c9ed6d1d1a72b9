#include "launcher/restart_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "launcher/supervise.h"

namespace hetmoe {
namespace {

using Step = std::optional<std::int64_t>;

AttemptEnd ended(int mpirun_code, Step before = {}, Step after = {}) {
  AttemptEnd end;
  end.mpirun_code = mpirun_code;
  end.committed_before = before;
  end.committed_after = after;
  return end;
}

AttemptEnd recorded(int mpirun_code, ExitCode code, const std::string& reason) {
  AttemptEnd end = ended(mpirun_code);
  end.record = ExitRecord{code, reason};
  return end;
}

TEST(Judgement, TakesTheCodesOfTheContractFromMpirun) {
  for (const int code : {0, 1, 2, 3, 4, 5, 6, 75, 93}) {
    EXPECT_EQ(static_cast<int>(judge(ended(code)).code), code);
  }
}

TEST(Judgement, CallsAKilledRankALostOne) {
  const Verdict killed = judge(ended(137));
  EXPECT_EQ(killed.code, ExitCode::kCommunication);
  EXPECT_EQ(killed.reason, "a rank was killed by signal 9 (Killed)");
  AttemptEnd named = ended(137);
  named.first_lost = {.rank = 3, .host = "n2"};
  EXPECT_EQ(judge(named).reason, "rank 3 on n2 was killed by signal 9 (Killed)");
  EXPECT_EQ(judge(named).rank, 3);
  EXPECT_EQ(judge(ended(139)).reason, "a rank was killed by signal 11 (Segmentation fault)");
}

TEST(Judgement, CallsAKilledMpirunALostOne) {
  AttemptEnd end;
  end.mpirun_signal = 9;
  EXPECT_EQ(judge(end).code, ExitCode::kCommunication);
  EXPECT_EQ(judge(end).reason, "mpirun was killed by signal 9 (Killed)");
}

TEST(Judgement, TakesCodesOfMpirunsOwnForALostRank) {
  for (const int code : {7, 128, 193, 213, 255}) {
    const Verdict verdict = judge(ended(code));
    EXPECT_EQ(verdict.code, ExitCode::kCommunication) << code;
    EXPECT_EQ(verdict.reason, "mpirun ended with code " + std::to_string(code));
  }
}

TEST(Judgement, BelievesTheRunMoreThanMpirun) {
  EXPECT_EQ(judge(recorded(137, ExitCode::kCommunication, "rank 2 is gone")).reason,
            "rank 2 is gone");
  EXPECT_EQ(judge(recorded(137, ExitCode::kNonFinite, "x")).code, ExitCode::kNonFinite);
  EXPECT_EQ(judge(recorded(139, ExitCode::kDone, "finished")).code, ExitCode::kDone);
}

TEST(Judgement, MakesALossAfterAStopAStopIfAStepIsSaved) {
  AttemptEnd end = ended(138, Step(), Step(40));
  end.stop_asked = true;
  EXPECT_EQ(judge(end).code, ExitCode::kStoppedBySignal);
  EXPECT_NE(judge(end).reason.find("step 40 is saved"), std::string::npos);
  end.committed_after.reset();
  EXPECT_EQ(judge(end).code, ExitCode::kCommunication);
  end.mpirun_code = 1;  // of mpirun itself, when it is terminated
  EXPECT_EQ(judge(end).code, ExitCode::kCommunication);
}

TEST(Judgement, KeepsWhatWouldComeAgainAlsoAfterAStop) {
  for (const int code : {0, 2, 3, 6, 75, 93}) {
    AttemptEnd end = ended(code, Step(), Step(40));
    end.stop_asked = true;
    EXPECT_EQ(static_cast<int>(judge(end).code), code);
  }
}

TEST(Restarting, IsForFailuresThatMayNotComeAgain) {
  for (const int code : {1, 4, 5, 137, 134, 213}) {
    EXPECT_TRUE(RestartPolicy({}).after(ended(code)).restart) << code;
  }
  for (const int code : {0, 2, 3, 6, 75, 93}) {
    const NextAction next = RestartPolicy({}).after(ended(code));
    EXPECT_FALSE(next.restart) << code;
    EXPECT_EQ(static_cast<int>(next.verdict.code), code);
  }
}

TEST(Restarting, EndsWhenAStopWasAskedFor) {
  AttemptEnd end = ended(137, Step(), Step(8));
  end.stop_asked = true;
  EXPECT_FALSE(RestartPolicy({}).after(end).restart);
}

/// The waits before restarts while each attempt commits, or not, as `progress` says; ends with the
/// exit code, negative, when the policy gives up.
std::vector<double> waits(RestartPolicy policy, const std::vector<bool>& progress) {
  std::vector<double> found;
  std::int64_t step = 0;
  for (const bool commits : progress) {
    const std::int64_t before = step;
    step += commits ? 10 : 0;
    const NextAction next = policy.after(ended(137, before, step));
    found.push_back(next.restart ? next.wait_seconds : -static_cast<int>(next.verdict.code));
    if (!next.restart) break;
  }
  return found;
}

TEST(Restarting, StopsAfterTwoRestartsThatSavedNothing) {
  EXPECT_EQ(waits(RestartPolicy({}), {false, false, false, false}),
            (std::vector<double>{1, 2, -93}));
  EXPECT_EQ(waits(RestartPolicy({}), {true, false, false, false}),
            (std::vector<double>{1, 1, -93}));
}

TEST(Restarting, CountsARestartThatSavedSomethingAsProgress) {
  EXPECT_EQ(waits(RestartPolicy({}), {false, false, true, false, true, false, false, false}),
            (std::vector<double>{1, 2, 1, 1, 1, 1, -93}));
}

TEST(Restarting, TakesAFirstCommitForProgress) {
  RestartPolicy policy({.restarts = 10, .stalled_restarts = 1});
  EXPECT_TRUE(policy.after(ended(137)).restart);
  EXPECT_TRUE(policy.after(ended(137, Step(), Step(0))).restart);
  EXPECT_FALSE(policy.after(ended(137, Step(0), Step(0))).restart);
}

TEST(Restarting, DoublesTheWaitUpToTheLongest) {
  const RestartPolicy patient({.restarts = 10, .stalled_restarts = 10});
  EXPECT_EQ(waits(patient, std::vector<bool>(9, false)),
            (std::vector<double>{1, 2, 4, 8, 16, 32, 60, 60, 60}));
  const RestartPolicy slow({.restarts = 3, .stalled_restarts = 9, .first_wait_seconds = 25});
  EXPECT_EQ(waits(slow, std::vector<bool>(3, false)), (std::vector<double>{25, 50, 60}));
  const RestartPolicy hasty({.restarts = 3, .stalled_restarts = 9, .first_wait_seconds = 0});
  EXPECT_EQ(waits(hasty, std::vector<bool>(3, false)), (std::vector<double>{0, 0, 0}));
}

TEST(Restarting, EndsWithTheFailuresOwnCodeWhenAllRestartsAreUsed) {
  EXPECT_EQ(waits(RestartPolicy({.restarts = 2}), {true, true, true}),
            (std::vector<double>{1, 1, -4}));
  const NextAction none = RestartPolicy({.restarts = 0}).after(ended(1));
  EXPECT_FALSE(none.restart);
  EXPECT_EQ(none.verdict.code, ExitCode::kInternal);
  EXPECT_EQ(none.verdict.reason, "mpirun ended with code 1; all 0 restarts are used");
}

TEST(Restarting, StaysFiniteOverVeryManyRestarts) {
  RestartPolicy policy({.restarts = 5000, .stalled_restarts = 5000});
  NextAction next;
  for (int attempt = 0; attempt < 4000; ++attempt) next = policy.after(ended(137));
  EXPECT_TRUE(next.restart);
  EXPECT_EQ(next.wait_seconds, 60);
  EXPECT_EQ(policy.restarts(), 4000);
}

TEST(ResumeOfARestart, ContinuesTheRunDirectory) {
  EXPECT_EQ(resume_of_restart("", {}, {}), "");
  EXPECT_EQ(resume_of_restart("", {}, 5), "");
  EXPECT_EQ(resume_of_restart("auto", {}, {}), "auto");
  // The folder holds a run by now, so "never" would refuse it.
  EXPECT_EQ(resume_of_restart("never", {}, {}), "auto");
  EXPECT_EQ(resume_of_restart("never", {}, 5), "auto");
  EXPECT_EQ(resume_of_restart("runs/a", {}, {}), "runs/a");
  EXPECT_EQ(resume_of_restart("runs/a", {}, 5), "auto");
}

// What the folder held before the launch is not what the launch has saved: going on with it would
// undo a way back to an earlier step, or enter a folder that "never" is to refuse.
TEST(ResumeOfARestart, KeepsToWhatItWasToldUntilItHasSavedSomething) {
  EXPECT_EQ(resume_of_restart("runs/a/checkpoints/step-00000100", 300, 300),
            "runs/a/checkpoints/step-00000100");
  EXPECT_EQ(resume_of_restart("runs/a/checkpoints/step-00000100", 300, 200), "auto");
  EXPECT_EQ(resume_of_restart("never", 300, 300), "never");
  EXPECT_EQ(resume_of_restart("auto", 300, 300), "auto");
}

}  // namespace
}  // namespace hetmoe
