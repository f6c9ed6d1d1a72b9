#include "launcher/mpirun_process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <sstream>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "launcher/signal_queue.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

Command shell(const std::string& script) {
  return {.environment = {}, .words = {"sh", "-c", script}};
}

ProcessEnd end_of(MpirunProcess& process) {
  std::optional<ProcessEnd> end;
  while (!(end = process.poll())) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return *end;
}

ProcessEnd end_of(const Command& command) {
  MpirunProcess process(command);
  return end_of(process);
}

/// Until `condition` holds; false after ten seconds.
template <typename Condition>
bool comes_true(Condition condition) {
  for (int look = 0; look < 5000; ++look) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

TEST(MpirunProcess, GivesHowItEnded) {
  EXPECT_EQ(end_of(shell("exit 0")).code, 0);
  EXPECT_EQ(end_of(shell("exit 137")).code, 137);
  const ProcessEnd killed = end_of(shell("kill -9 $$"));
  EXPECT_EQ(killed.signal, SIGKILL);
}

TEST(MpirunProcess, LeadsAGroupOfItsOwnWithNothingToRead) {
  const TemporaryFolder folder;
  Command command = shell("cut -d ' ' -f 1,5 /proc/$$/stat > \"$HETMOE_TEST_OUT\"; ! read line");
  command.environment = {{"HETMOE_TEST_OUT", folder / "ids"}};
  EXPECT_EQ(end_of(command).code, 0);
  std::istringstream ids(contents_of(folder / "ids"));
  long process = 0;
  long group = -1;
  ids >> process >> group;
  EXPECT_EQ(process, group);
}

TEST(MpirunProcess, PutsItsEnvironmentInPlaceOfOurs) {
  ASSERT_EQ(::setenv("HETMOE_TEST_VALUE", "ours", 1), 0);
  EXPECT_EQ(end_of(shell("test \"$HETMOE_TEST_VALUE\" = ours")).code, 0);
  Command command = shell("test \"$HETMOE_TEST_VALUE\" = its -a -n \"$PATH\"");
  command.environment = {{"HETMOE_TEST_VALUE", "its"}};
  EXPECT_EQ(end_of(command).code, 0);
  ::unsetenv("HETMOE_TEST_VALUE");
}

TEST(MpirunProcess, StartsWithSignalsOpenThoughTheyAreBlockedAndIgnoredHere) {
  const SignalQueue signals;
  struct sigaction ignored = {};
  ignored.sa_handler = SIG_IGN;
  struct sigaction before = {};
  ::sigaction(SIGUSR1, &ignored, &before);
  const ProcessEnd end = end_of(shell("kill -USR1 $$; exit 3"));
  ::sigaction(SIGUSR1, &before, nullptr);
  EXPECT_EQ(end.signal, SIGUSR1);
}

TEST(MpirunProcess, ReachesTheLeaderOrTheWholeGroup) {
  const TemporaryFolder folder;
  const std::string script =
      "sh -c 'trap \"exit 0\" TERM; trap \"touch child\" USR1; touch ready; while :; do sleep "
      "0.01; "
      "done' & trap 'touch leader' USR1; trap 'wait; exit 9' TERM; while :; do sleep 0.01; done";
  MpirunProcess process(shell("exec 2>/dev/null; cd " + folder.path().string() + "; " + script));
  const auto exists = [&](const char* name) { return std::filesystem::exists(folder / name); };
  ASSERT_TRUE(comes_true([&] { return exists("ready"); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  process.signal(SIGUSR1);
  EXPECT_TRUE(comes_true([&] { return exists("leader"); }));
  EXPECT_FALSE(exists("child"));
  process.signal_group(SIGTERM);
  EXPECT_EQ(end_of(process).code, 9);
}

TEST(MpirunProcess, PassesOnWhateverIsSaid) {
  const std::string dashes(70, '-');
  testing::internal::CaptureStderr();
  {
    MpirunProcess process(
        shell("{ printf 'a\\000b\\nnext\\n'; head -c 200000 /dev/zero | tr '\\000' x; "
              "printf '\\r50 %%\\r\\n%s\\n' " +
              dashes + "; printf 'no end'; } >&2"));
    end_of(process);
    EXPECT_FALSE(process.first_lost());
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), std::string("a\0b\nnext\n", 9) +
                                                        std::string(200000, 'x') + "\r50 %\r\n" +
                                                        dashes + "\nno end");
}

TEST(MpirunProcess, GivesAwayWhatNobodyEnds) {
  const TemporaryFolder folder;
  const std::string dashes(70, '-');
  MpirunProcess process(shell("echo " + dashes + " >&2; echo waits >&2; touch " +
                              (folder / "said") + "; exec sleep 600"));
  testing::internal::CaptureStderr();
  ASSERT_TRUE(comes_true([&] { return std::filesystem::exists(folder / "said"); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), dashes + "\nwaits\n");
}

TEST(MpirunProcess, IsKilledWithWhoOwnsIt) {
  const TemporaryFolder folder;
  const std::string file = folder / "pid";
  {
    const MpirunProcess process(
        shell("echo $$ > " + file + ".part; mv " + file + ".part " + file + "; exec sleep 600"));
    ASSERT_TRUE(comes_true([&] { return std::filesystem::exists(file); }));
    ASSERT_EQ(::kill(std::stoi(contents_of(file)), 0), 0);
  }
  EXPECT_NE(::kill(std::stoi(contents_of(file)), 0), 0);
}

TEST(MpirunProcess, IsTerminatedWhenItsParentIsKilled) {
  const TemporaryFolder folder;
  const std::string script = "cd " + folder.path().string() +
                             "; trap 'touch ended; exit' TERM; touch ready; "
                             "while :; do sleep 0.01; done";
  const pid_t parent = ::fork();
  if (parent == 0) {
    const MpirunProcess process(shell(script));
    while (true) ::pause();
  }
  const auto exists = [&](const char* name) { return std::filesystem::exists(folder / name); };
  const bool started = comes_true([&] { return exists("ready"); });
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  EXPECT_TRUE(started);
  EXPECT_TRUE(comes_true([&] { return exists("ended"); }));
}

TEST(MpirunProcess, NamesAProgramThatIsNotThere) {
  const Command command{.environment = {}, .words = {"hetmoe-no-such-program"}};
  const std::string message = message_of<ConfigError>([&] { MpirunProcess process(command); });
  EXPECT_NE(message.find("cannot start 'hetmoe-no-such-program': No such file"), std::string::npos)
      << message;
}

TEST(SignalQueue, GivesEachSignalOnceWithoutAHandler) {
  const SignalQueue signals;
  EXPECT_EQ(signals.wait(0), 0);
  ::raise(SIGTERM);
  ::raise(SIGUSR1);
  std::vector<int> got = {signals.wait(0), signals.wait(0)};
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, (std::vector<int>{SIGUSR1, SIGTERM}));
  EXPECT_EQ(signals.wait(0.01), 0);
}

TEST(SignalQueue, IsWokenByTheEndOfAChild) {
  const SignalQueue signals;
  MpirunProcess process(shell("exit 5"));
  EXPECT_EQ(signals.wait(60), SIGCHLD);
  EXPECT_EQ(end_of(process).code, 5);
}

TEST(SignalQueue, KeepsTheEndOfChildrenThoughTheyWereIgnoredBefore) {
  struct sigaction ignored = {};
  ignored.sa_handler = SIG_IGN;
  struct sigaction before = {};
  ::sigaction(SIGCHLD, &ignored, &before);
  {
    const SignalQueue signals;
    EXPECT_EQ(end_of(shell("exit 5")).code, 5);
  }
  ::sigaction(SIGCHLD, &before, nullptr);
}

}  // namespace
}  // namespace hetmoe
