#include "launcher/mpirun_messages.h"

#include <gtest/gtest.h>

#include <initializer_list>

namespace hetmoe {
namespace {

const std::string kDashes(74, '-');

std::string passed(MpirunMessages& messages, std::initializer_list<std::string> lines) {
  std::string text;
  for (const std::string& line : lines) text += messages.pass(line);
  return text + messages.rest();
}

TEST(MpirunMessages, KeepsBackWhatMpirunSaysOfAnEndAndKnowsWhoseItWas) {
  MpirunMessages messages;
  EXPECT_EQ(passed(messages, {"hetmoe: rank 0 speaks", kDashes,
                              "Primary job  terminated normally, but 1 process returned",
                              "a non-zero exit code. Per user-direction, the job has been aborted.",
                              kDashes, "a warning", kDashes,
                              "mpirun noticed that process rank 1 with PID 0 on node n2 exited on "
                              "signal 9 (Killed).",
                              kDashes}),
            "hetmoe: rank 0 speaks\na warning\n");
  ASSERT_TRUE(messages.first_lost());
  EXPECT_EQ(messages.first_lost()->rank, 1);
  EXPECT_EQ(messages.first_lost()->host, "n2");
}

TEST(MpirunMessages, KnowsTheMessagesOfOpenMpi5WhereverTheirLinesBreak) {
  MpirunMessages messages;
  EXPECT_EQ(passed(messages, {kDashes, "prterun noticed that process rank 1 with PID 16339 on node",
                              "a-host-with-a-long-name.cluster.example exited on",
                              "signal 9 (Killed).", kDashes, kDashes,
                              "prterun detected that one or more processes exited with non-zero",
                              "status, thus causing the job to be terminated. The first process to",
                              "do so was:", "", "   Process name: [prterun-vm-16342@1,1]",
                              "   Exit code:    4", kDashes}),
            "");
  ASSERT_TRUE(messages.first_lost());
  EXPECT_EQ(messages.first_lost()->rank, 1);
  EXPECT_EQ(messages.first_lost()->host, "a-host-with-a-long-name.cluster.example");
}

TEST(MpirunMessages, WhatARankSaysInTheMiddleOfThatPasses) {
  MpirunMessages messages;
  EXPECT_EQ(passed(messages, {kDashes, "mpirun noticed that process rank 0 with PID 7 on node n1",
                              "hetmoe: cannot write 'runs/a': No space left on device",
                              "exited on signal 9 (Killed).", kDashes}),
            "hetmoe: cannot write 'runs/a': No space left on device\n");
  EXPECT_EQ(messages.first_lost()->rank, 0);
}

TEST(MpirunMessages, AnExitCodeOfARankIsItsOwnAffair) {
  MpirunMessages messages;
  EXPECT_EQ(passed(messages, {kDashes,
                              "mpirun detected that one or more processes exited with non-zero "
                              "status, thus causing",
                              "the job to be terminated. The first process to do so was:", "",
                              "  Process name: [[1,1],0]", "  Exit code:    2", kDashes}),
            "");
  EXPECT_FALSE(messages.first_lost());
}

TEST(MpirunMessages, WhatMpirunRefusesIsShownWhole) {
  MpirunMessages messages;
  const std::string text = "There are not enough slots available in the system";
  EXPECT_EQ(passed(messages, {kDashes, text, kDashes}),
            kDashes + "\n" + text + "\n" + kDashes + "\n");
  EXPECT_EQ(passed(messages, {kDashes, "half a block"}), kDashes + "\nhalf a block\n");
  EXPECT_EQ(passed(messages, {"---", "no block"}), "---\nno block\n");
}

TEST(MpirunMessages, LoneDashesAreGivenBackWhenNothingFollows) {
  MpirunMessages messages;
  EXPECT_EQ(messages.pass(kDashes), "");
  EXPECT_EQ(messages.pass("hetmoe: save has taken 60 s"), "");
  EXPECT_EQ(messages.rest(), kDashes + "\nhetmoe: save has taken 60 s\n");
  EXPECT_EQ(messages.pass("plain"), "plain\n");
  for (const std::string& line :
       {kDashes, std::string("mpirun noticed that process rank 3 with PID 1"), kDashes}) {
    EXPECT_EQ(messages.pass(line), "");
  }
  ASSERT_TRUE(messages.first_lost());
  EXPECT_EQ(messages.first_lost()->rank, 3);
}

TEST(MpirunMessages, DashesOfSomebodyElseHoldNothingBackForEver) {
  MpirunMessages messages;
  std::string text = messages.pass(kDashes);
  for (int i = 0; i < 200; ++i)
    text += messages.pass("a line of some program that draws lines of dashes");
  EXPECT_GT(text.size(), 8000U);
}

}  // namespace
}  // namespace hetmoe
