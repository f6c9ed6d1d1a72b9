#include "launcher/mpirun_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <memory>
#include <set>
#include <string>

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::Pair;

/// What a shell prints for `line`.
std::string output_of_shell(const std::string& line) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(line.c_str(), "r"), ::pclose);
  std::string text;
  std::array<char, 256> block{};
  while (const std::size_t got = std::fread(block.data(), 1, block.size(), pipe.get())) {
    text.append(block.data(), got);
  }
  return text;
}

TEST(ShellLine, GivesTheShellTheSameWords) {
  const std::vector<std::string> hard = {
      "plain",    "",         "two words", "it's",     "'",      "$HOME",     "`id`",     "a\"b",
      "back\\sl", "*",        "a;b",       "#no",      "~",      "new\nline", "-x",       "{a,b}",
      "a=b",      "[64, 64]", "\xc3\xa4",  "&& false", "a'b'c'", "!run!",     "tab\there"};
  for (const std::string& word : hard) {
    const Command command{.environment = {}, .words = {"printf", "%s|", word, "end"}};
    EXPECT_EQ(output_of_shell(shell_line(command)), word + "|end|") << shell_line(command);
  }
}

TEST(ShellLine, SetsTheEnvironment) {
  const Command command{
      .environment = {{"HETMOE_TEST_ONE", "a b"}, {"HETMOE_TEST_TWO", ""}},
      .words = {"sh", "-c", "echo \"$HETMOE_TEST_ONE/${HETMOE_TEST_TWO-unset}\""}};
  EXPECT_EQ(output_of_shell(shell_line(command)), "a b/\n");
}

TEST(ShellLine, LeavesPlainWordsAlone) {
  const Command command{.environment = {{"A", "1"}}, .words = {"mpirun", "-np", "2", "x/y.yaml"}};
  EXPECT_EQ(shell_line(command), "A=1 mpirun -np 2 x/y.yaml");
}

LaunchOptions two_ranks() {
  LaunchOptions options;
  options.config_path = "tiny.yaml";
  options.ranks = 2;
  options.run_dir = "runs/a";
  return options;
}

Surroundings with_variables(std::set<std::string> variables) {
  return {.program = "/bin/hetmoe",
          .launch_id = "abc",
          .is_root = false,
          .is_set = [variables = std::move(variables)](const std::string& name) {
            return variables.contains(name);
          }};
}

TEST(MpirunCommand, OnOneMachineUsesSharedMemoryAndMoreRanksThanCores) {
  const Command command =
      mpirun_command(two_ranks(), with_variables({}), {.ranks = 2, .hosts = "", .resume = ""});
  EXPECT_THAT(command.words,
              ElementsAre("mpirun", "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", "-np", "2",
                          "/bin/hetmoe", "train", "tiny.yaml", "--run-dir", "runs/a"));
  EXPECT_THAT(command.environment,
              ElementsAre(Pair("HETMOE_LAUNCH_ID", "abc"), Pair("OMPI_MCA_pml", "ob1"),
                          Pair("OMPI_MCA_btl", "self,vader"),
                          Pair("OMPI_MCA_btl_vader_single_copy_mechanism", "none"),
                          Pair("OMPI_MCA_mpi_yield_when_idle", "1")));
}

TEST(MpirunCommand, KeepsWhatTheUserHasSet) {
  LaunchOptions options = two_ranks();
  options.mpirun_options = {"--bind-to", "core", "-map-by", "slot", "--report-bindings"};
  const Command command =
      mpirun_command(options, with_variables({"OMPI_MCA_btl", "OMPI_MCA_pml"}), {.ranks = 2});
  EXPECT_THAT(command.words,
              ElementsAre("mpirun", "--bind-to", "core", "-map-by", "slot", "--report-bindings",
                          "-np", "2", "/bin/hetmoe", "train", "tiny.yaml", "--run-dir", "runs/a"));
  EXPECT_THAT(command.environment,
              ElementsAre(Pair("HETMOE_LAUNCH_ID", "abc"),
                          Pair("OMPI_MCA_btl_vader_single_copy_mechanism", "none"),
                          Pair("OMPI_MCA_mpi_yield_when_idle", "1")));
}

TEST(MpirunCommand, BindsRanksToNumaNodesThatTheyFillEvenly) {
  const auto words_of = [](int ranks, int numa_nodes, LaunchOptions options = two_ranks()) {
    Surroundings surroundings = with_variables({});
    surroundings.numa_nodes = numa_nodes;
    const Command command = mpirun_command(options, surroundings, {.ranks = ranks});
    return std::vector<std::string>(command.words.begin() + 1, command.words.begin() + 5);
  };
  const auto bound =
      ElementsAre("--map-by", "numa:OVERSUBSCRIBE", "--bind-to", "numa:overload-allowed");
  const auto free = ElementsAre("--map-by", ":OVERSUBSCRIBE", "--bind-to", "none");
  EXPECT_THAT(words_of(2, 2), bound);
  EXPECT_THAT(words_of(8, 4), bound);
  EXPECT_THAT(words_of(2, 1), free);
  EXPECT_THAT(words_of(3, 2), free);
  EXPECT_THAT(words_of(1, 2), free);
  LaunchOptions mapped = two_ranks();
  mapped.mpirun_options = {"--map-by", "slot:PE=4"};
  EXPECT_THAT(words_of(2, 2, mapped), ElementsAre("--map-by", "slot:PE=4", "-np", "2"));
}

TEST(MpirunCommand, OnSeveralHostsLeavesTransportToOpenMpiAndAllCoresToTheRanks) {
  LaunchOptions options = two_ranks();
  options.hostfile = "hosts";
  const Command command = mpirun_command(options, with_variables({}), {.ranks = 2});
  EXPECT_THAT(command.words, ElementsAre("mpirun", "-x", "HETMOE_LAUNCH_ID", "--bind-to", "none",
                                         "--hostfile", "hosts", "-np", "2", "/bin/hetmoe", "train",
                                         "tiny.yaml", "--run-dir", "runs/a"));
}

TEST(MpirunCommand, LeavesBindingToARankfile) {
  LaunchOptions options = two_ranks();
  options.hostfile = "hosts";
  options.rankfile = "places";
  const Command command = mpirun_command(options, with_variables({}), {.ranks = 2});
  EXPECT_THAT(command.words, ElementsAre("mpirun", "-x", "HETMOE_LAUNCH_ID", "--hostfile", "hosts",
                                         "--rankfile", "places", "-np", "2", "/bin/hetmoe", "train",
                                         "tiny.yaml", "--run-dir", "runs/a"));
  EXPECT_THAT(command.environment, ElementsAre(Pair("HETMOE_LAUNCH_ID", "abc")));
}

TEST(MpirunCommand, TakesABatchJobAndGivenHostsForSeveralMachines) {
  const auto transport_is_set = [](const Command& command) {
    return command.environment.size() > 1;
  };
  EXPECT_TRUE(transport_is_set(mpirun_command(two_ranks(), with_variables({}), {.ranks = 2})));
  EXPECT_FALSE(transport_is_set(
      mpirun_command(two_ranks(), with_variables({"SLURM_JOB_ID"}), {.ranks = 2})));
  LaunchOptions options = two_ranks();
  options.mpirun_options = {"-H", "a,b"};
  EXPECT_FALSE(transport_is_set(mpirun_command(options, with_variables({}), {.ranks = 2})));
}

TEST(MpirunCommand, NamesTheHostsThatAreLeft) {
  LaunchOptions options = two_ranks();
  options.hostfile = "hosts";
  const Command command =
      mpirun_command(options, with_variables({}), {.ranks = 1, .hosts = "b:1", .resume = "auto"});
  EXPECT_THAT(command.words, ElementsAre("mpirun", "-x", "HETMOE_LAUNCH_ID", "--bind-to", "none",
                                         "--host", "b:1", "-np", "1", "/bin/hetmoe", "train",
                                         "tiny.yaml", "--run-dir", "runs/a", "--resume", "auto"));
}

TEST(MpirunCommand, HandsOnSettingsInTheirOrder) {
  LaunchOptions options = two_ranks();
  options.settings = {"train.steps=3", "train.steps=4"};
  const Command command = mpirun_command(options, with_variables({}), {.ranks = 2});
  const std::vector<std::string> last(command.words.end() - 4, command.words.end());
  EXPECT_THAT(last, ElementsAre("--set", "train.steps=3", "--set", "train.steps=4"));
}

TEST(MpirunCommand, HandsOnInitToEveryAttempt) {
  LaunchOptions options = two_ranks();
  options.init = "runs/first run";
  for (const char* resume : {"", "auto"}) {
    const Command command =
        mpirun_command(options, with_variables({}), {.ranks = 2, .resume = resume});
    const std::vector<std::string> last(command.words.end() - 2, command.words.end());
    EXPECT_THAT(last, ElementsAre("--init", "runs/first run"));
  }
}

TEST(MpirunCommand, AllowsRootToRunWhenItIsRoot) {
  Surroundings surroundings = with_variables({"SLURM_JOB_ID"});
  surroundings.is_root = true;
  EXPECT_THAT(
      mpirun_command(two_ranks(), surroundings, {.ranks = 2}).environment,
      ElementsAre(Pair("OMPI_ALLOW_RUN_AS_ROOT", "1"), Pair("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
                  Pair("HETMOE_LAUNCH_ID", "abc")));
}

}  // namespace
}  // namespace hetmoe
