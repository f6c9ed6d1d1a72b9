#include "runtime/trainer/coordination.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "core/base/clock.h"
#include "parallel/agreement.h"
#include "parallel/communicator/local_communicator.h"
#include "runtime/coordinator/network/coordinator_file.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using ::testing::HasSubstr;

/// A run of threads as ranks in a folder of its own.
class RunOfThreads {
 public:
  explicit RunOfThreads(int generation) : generation_(generation) {}

  void on_ranks(int ranks, const std::function<void(Coordination&, Communicator&)>& work) {
    run_ranks(ranks, [&](Communicator& world) {
      CollectiveLog collectives(clock_);
      Coordination coordination({.config = config,
                                 .directory = RunDirectory::open(folder.path()),
                                 .collectives = collectives,
                                 .clock = clock_,
                                 .control = world,
                                 .generation = generation_});
      work(coordination, world);
      world.barrier();  // rank 0's coordinator lives until all have said what they had to
    });
  }

  CoordinatorClient person() const {
    const CoordinatorFile file = read_coordinator_file(folder.path() / "coordinator.json");
    return {file.address, client_credentials(file)};
  }

  RunConfig config = [] {
    RunConfig short_beats;
    short_beats.coordinator.beat_seconds = 0.02;
    return short_beats;
  }();
  TemporaryFolder folder;

 private:
  SystemClock clock_;
  int generation_;
};

/// Far longer than anything here takes.
bool comes_true(const std::function<bool()>& condition) {
  for (int i = 0; i < 3000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST(Coordination, CommandsReachRankZeroAndAreToldAsExecuted) {
  RunOfThreads run(1);
  run.on_ranks(3, [&](Coordination& coordination, Communicator& world) {
    if (world.rank() != 0) {
      EXPECT_FALSE(coordination.wishes().save);
      return;
    }
    CoordinatorClient person = run.person();
    const AcceptedCommand save = person.command(CommandKind::kSave);
    const AcceptedCommand move = person.command(CommandKind::kRebalance);
    ASSERT_TRUE(comes_true([&] {
      const StepWishes wishes = coordination.wishes();
      return wishes.save && wishes.rebalance && !wishes.stop && !wishes.stop_for_good;
    }));
    const std::vector<AcceptedCommand> done = coordination.executed(7);
    ASSERT_EQ(done.size(), 2);
    EXPECT_EQ(done[0].number, save.number);
    EXPECT_EQ(done[1].number, move.number);
    EXPECT_FALSE(coordination.wishes().save);
    EXPECT_TRUE(comes_true([&] { return person.status().commands.back().executed_step == 7; }));
  });
}

TEST(Coordination, AStopSaysWhetherToRunAgain) {
  RunOfThreads run(1);
  run.on_ranks(1, [&](Coordination& coordination, Communicator&) {
    CoordinatorClient person = run.person();
    person.command(CommandKind::kStopAndRequeue);
    EXPECT_TRUE(comes_true([&] { return coordination.wishes().stop; }));
    EXPECT_FALSE(coordination.wishes().stop_for_good);
    coordination.executed(1);
    person.command(CommandKind::kStop);
    EXPECT_TRUE(comes_true([&] { return coordination.wishes().stop_for_good; }));
    EXPECT_FALSE(coordination.wishes().stop);
  });
}

TEST(Coordination, AgreesToASaveOnlyWhenEveryRankHasWritten) {
  RunOfThreads run(1);
  run.on_ranks(3, [&](Coordination& coordination, Communicator& world) {
    const CheckpointFile file{"shard.safetensors", 12, "xxh3-128:00000000000000000000000000000000"};
    if (world.rank() < 2) coordination.prepared(5, file);
    if (world.rank() == 0) {
      EXPECT_TRUE(comes_true([&] { return run.person().status().prepared_ranks == 2; }));
      EXPECT_EQ(coordination.answer(), SaveWitness::Answer::kNotYet);
    }
    world.barrier();
    if (world.rank() == 2) coordination.prepared(5, file);
    if (world.rank() != 0) return;
    EXPECT_TRUE(comes_true([&] { return coordination.answer() == SaveWitness::Answer::kAgreed; }));
    SaveRecord record;
    record.step = 5;
    record.committed = true;
    record.bytes = 36;
    coordination.concluded(record);
    EXPECT_TRUE(comes_true([&] { return run.person().status().committed.step == 5; }));
  });
}

TEST(Coordination, ShowsWhatEveryRankDoes) {
  RunOfThreads run(4);
  run.on_ranks(2, [&](Coordination& coordination, Communicator& world) {
    StepOutcome outcome;
    outcome.expert_flops = 1e6 * (1 + world.rank());
    outcome.seconds.dispatch_wait = 0.25;
    outcome.seconds.parameters = 0.5;
    coordination.enter(9, "evaluating");
    coordination.step_ended(outcome, 2, {.host_bytes = 4096, .device_bytes = 8192});
    if (world.rank() != 0) return;
    coordination.report({.step = 8, .loss = 3.5});
    CoordinatorClient person = run.person();
    ASSERT_TRUE(comes_true([&] {
      const CoordinatorStatus status = person.status();
      return status.last_step.step == 8 && status.members.size() == 2 &&
             status.members[1].last.expert_flops == 2e6;
    }));
    const CoordinatorStatus status = person.status();
    EXPECT_EQ(status.generation, 4);
    EXPECT_EQ(status.last_step.loss, 3.5);
    EXPECT_EQ(status.members[1].last.step, 9);
    EXPECT_EQ(status.members[1].last.phase, "evaluating");
    EXPECT_EQ(status.members[1].last.wait_seconds, 0.75);
    EXPECT_EQ(status.members[1].last.memory_bytes, 4096);
    EXPECT_EQ(status.members[1].last.device_memory_bytes, 8192);
  });
}

TEST(Coordination, LeavesWhenALaterGenerationHasJoined) {
  RunOfThreads run(2);
  run.on_ranks(1, [&](Coordination& coordination, Communicator&) {
    CoordinatorClient other = run.person();
    const std::string name = other.status().run;
    JoinRequest later;
    later.member.run = name;
    later.member.generation = 3;
    later.host = "other";
    later.process = 1;
    other.join(later);
    EXPECT_TRUE(comes_true([&] { return coordination.wishes().leave; }));
    EXPECT_EQ(coordination.answer(), SaveWitness::Answer::kRefused);
    EXPECT_THAT(coordination.refusal(), HasSubstr("3"));
  });
}

/// Another coordinator in the place of one that a run knows: with nothing of its journal.
TEST(Coordination, GoesOnWithoutACoordinatorThatNoLongerKnowsIt) {
  const SystemClock clock;
  const TemporaryFolder folder;
  auto coordinator = std::make_unique<RunCoordinator>(folder.path() / "first", clock);
  auto server = std::make_unique<CoordinatorServer>(
      *coordinator, ServerOptions{.credentials = {.token = "first"}});
  const std::string address = "127.0.0.1:" + std::to_string(server->port());
  write_coordinator_file(folder.path() / "c.json", {.address = address, .token = "first"});
  RunOfThreads run(1);
  run.config.coordinator.address = address;
  run.config.coordinator.credentials = folder / "c.json";
  run.on_ranks(1, [&](Coordination& coordination, Communicator&) {
    server.reset();
    coordinator = std::make_unique<RunCoordinator>(folder.path() / "second", clock);
    server = std::make_unique<CoordinatorServer>(
        *coordinator, ServerOptions{.listen = address, .credentials = {.token = "second"}});
    EXPECT_TRUE(comes_true([&] { return !coordination.refusal().empty(); }));
    EXPECT_FALSE(coordination.wishes().leave);
    coordination.prepared(5, {});
    EXPECT_EQ(coordination.answer(), SaveWitness::Answer::kAgreed);
  });
}

TEST(Coordination, LeavesTheJournalToWhoHoldsItUnlessTheFolderWasTakenOver) {
  const SystemClock clock;
  RunOfThreads run(1);
  const RunCoordinator holder(run.folder.path() / "coordinator.journal", clock);
  run_ranks(1, [&](Communicator& world) {
    CollectiveLog collectives(clock);
    const RunDirectory directory = RunDirectory::open(run.folder.path());
    EXPECT_THROW(Coordination({run.config, directory, collectives, clock, world, 1}), AgreedError);
    const Coordination taken({run.config, directory, collectives, clock, world, 2, true});
    EXPECT_EQ(run.person().status().generation, 2);
  });
}

TEST(Coordination, GoesOnInAFolderThatWasRenamedAndInOneThatWasEmptied) {
  const auto run_in = [](const std::filesystem::path& path, int generation) {
    const SystemClock clock;
    CollectiveLog collectives(clock);
    const RunConfig config;
    std::string run;
    run_ranks(1, [&](Communicator& world) {
      const RunDirectory directory = RunDirectory::open(path);
      const Coordination coordination({config, directory, collectives, clock, world, generation});
      const CoordinatorFile file = read_coordinator_file(directory.coordinator_file());
      run = CoordinatorClient(file.address, client_credentials(file)).status().run;
    });
    return run;
  };
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "a");
  EXPECT_EQ(run_in(folder.path() / "a", 1), "a");
  std::filesystem::rename(folder.path() / "a", folder.path() / "b");
  EXPECT_EQ(run_in(folder.path() / "b", 2), "a");
  // All but the journal is gone: generations begin anew.
  EXPECT_EQ(run_in(folder.path() / "b", 1), "b");
}

TEST(Coordination, TheFileGoesWithTheCoordinator) {
  RunOfThreads run(1);
  run.on_ranks(2, [&](Coordination&, Communicator&) {
    EXPECT_TRUE(std::filesystem::exists(run.folder.path() / "coordinator.json"));
  });
  EXPECT_FALSE(std::filesystem::exists(run.folder.path() / "coordinator.json"));
}

TEST(Coordination, WithoutACoordinatorSavesNeedNobodyElse) {
  RunOfThreads run(1);
  run.config.coordinator.listen = "none";
  run.on_ranks(2, [&](Coordination& coordination, Communicator&) {
    coordination.prepared(1, {});
    EXPECT_EQ(coordination.answer(), SaveWitness::Answer::kAgreed);
    EXPECT_FALSE(std::filesystem::exists(run.folder.path() / "coordinator.json"));
  });
}

TEST(Coordination, AnAddressThatCannotBeListenedOnEndsEveryRankWithCode5) {
  RunOfThreads run(1);
  run.config.coordinator.listen = "192.0.2.1:0";  // of no machine
  run.config.coordinator.insecure = true;
  run_ranks(2, [&](Communicator& world) {
    const SystemClock clock;
    CollectiveLog collectives(clock);
    const RunDirectory directory = RunDirectory::open(run.folder.path());
    try {
      Coordination coordination({run.config, directory, collectives, clock, world, 1});
      ADD_FAILURE() << "it listens";
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::kCoordinator);
      EXPECT_THAT(error.what(), HasSubstr("192.0.2.1:0"));
    }
  });
}

}  // namespace
}  // namespace hetmoe
