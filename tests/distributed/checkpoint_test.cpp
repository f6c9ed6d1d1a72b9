// What is saved on some ranks is loaded on others, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <set>
#include <thread>

#include "core/base/clock.h"
#include "parallel/agreement.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/trainer/saving.h"
#include "tests/distributed/owned_values.h"
#include "tests/support/mpi_world.h"
#include "tests/support/shared_folder.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

namespace fs = std::filesystem;

/// The first `ranks` of the world; none on the others. Collective over the world.
std::unique_ptr<Communicator> first_ranks(int ranks) {
  const bool is_in = test_world().rank() < ranks;
  auto communicator = test_world().split(is_in ? 0 : 1, test_world().rank());
  return is_in ? std::move(communicator) : nullptr;
}

Manifest manifest_of(const RunConfig& config, std::int64_t step, int ranks) {
  Manifest manifest;
  manifest.step = step;
  manifest.tokens = 42 * step;
  manifest.state = {.sampler_seed = config.train.seed,
                    .optimizer_updates = step,
                    .ranks = ranks,
                    .expert_group_size = ranks,
                    .plan = R"({"layers":[]})",
                    .config = resolved_yaml(config)};
  return manifest;
}

/// Saves while it could go on training, and waits for the commit. Collective over `world`.
SaveRecord save(const fs::path& folder, const RunConfig& config, std::int64_t step,
                const Ownership& ownership, Communicator& world) {
  const SystemClock clock;
  Saving saving(CheckpointFolder(folder), {}, tensor_shapes(config.model), world, clock);
  saving.begin(manifest_of(config, step, world.size()), ownership.owned());
  saving.wait();
  return saving.take_result().value();
}

Ownership::FillRows rows_of(CheckpointReader& reader) {
  return [&reader](OwnedRows& rows) { read_owned_rows(reader, rows); };
}

RunConfig config_of(Precision precision, bool hyper) {
  RunConfig config = small_training();
  config.train.precision = precision;
  config.model.hyper.enabled = hyper;
  config.model.hyper.rank = 2;
  config.model.hyper.hidden = 3;
  config.train.learning_rate = 0.003;
  return config;
}

class Checkpoint : public testing::TestWithParam<std::tuple<Precision, bool>> {
 protected:
  RunConfig config_ = config_of(std::get<0>(GetParam()), std::get<1>(GetParam()));
};

TEST_P(Checkpoint, LoadsBitForBitOnAnyNumberOfRanksAndAnyPlacement) {
  for (const int savers : {1, 2, 4}) {
    if (savers > test_world().size()) continue;
    const SharedFolder folder;
    Values saved;
    if (auto world = first_ranks(savers)) {
      TrainingWorld training(config_, *world, cut_placement(config_.model, savers));
      for (int step = 1; step <= 3; ++step) training.step(step);
      saved = values_of_owners(config_, training.ownership(), *world);
      const SaveRecord record = save(folder.path(), config_, 3, training.ownership(), *world);
      EXPECT_TRUE(record.committed) << record.failure;
    }
    test_world().barrier();
    for (const int loaders : {1, 2, 3, 6}) {
      if (loaders > test_world().size()) continue;
      if (auto world = first_ranks(loaders)) {
        CheckpointReader reader(resolve_checkpoint(folder.path()));
        TrainingWorld training(config_, *world, replicated_placement(config_.model, loaders),
                               rows_of(reader));
        const Values loaded = values_of_owners(config_, training.ownership(), *world);
        if (test_world().rank() == 0) {
          EXPECT_EQ(loaded, saved) << savers << " to " << loaders;
        }
      }
    }
  }
}

TEST_P(Checkpoint, GoesOnBitForBitWhereItWasSaved) {
  const SharedFolder folder;
  Communicator& world = test_world();
  const Placement placement = cut_placement(config_.model, world.size());
  std::vector<double> losses;
  {
    TrainingWorld whole(config_, world, placement);
    for (int step = 1; step <= 4; ++step) whole.step(step);
    const SystemClock clock;
    Saving saving(CheckpointFolder(folder.path()), {}, tensor_shapes(config_.model), world, clock);
    saving.begin(manifest_of(config_, 4, world.size()), whole.ownership().owned());
    for (int step = 5; step <= 9; ++step) {
      losses.push_back(whole.step(step).loss);
      saving.poll();
    }
    saving.wait();
  }
  CheckpointReader reader(resolve_checkpoint(folder.path()));
  TrainingWorld resumed(config_, world, placement, rows_of(reader));
  resumed.resume(reader.manifest().state.optimizer_updates);
  for (int step = 5; step <= 9; ++step)
    EXPECT_EQ(resumed.step(step).loss, losses[step - 5]) << step;
}

INSTANTIATE_TEST_SUITE_P(Models, Checkpoint,
                         testing::Combine(testing::Values(Precision::kFp32, Precision::kBf16),
                                          testing::Bool()));

TEST(Saving, FailsOnEveryRankWhenOneCannotWriteAndTrainsOn) {
  const SharedFolder folder;
  Communicator& world = test_world();
  const RunConfig config = config_of(Precision::kFp32, false);
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  EXPECT_TRUE(save(folder.path(), config, 1, training.ownership(), world).committed);

  const SystemClock clock;
  const CheckpointFolder checkpoints(folder.path());
  Saving saving(checkpoints, {}, tensor_shapes(config.model), world, clock);
  if (world.rank() == 0) std::ofstream(checkpoints.path_of(2)) << "in the way";
  world.barrier();
  saving.begin(manifest_of(config, 2, world.size()), training.ownership().owned());
  saving.wait();
  const SaveRecord failed = saving.take_result().value();
  EXPECT_FALSE(failed.committed);
  EXPECT_NE(failed.failure.find("step-00000002"), std::string::npos) << failed.failure;
  EXPECT_TRUE(std::isfinite(training.step(1).loss));
  EXPECT_EQ(CheckpointReader(resolve_checkpoint(folder.path())).manifest().step, 1);
}

TEST(Saving, KeepsTheNewestAndEveryFourth) {
  const SharedFolder folder;
  Communicator& world = test_world();
  const RunConfig config = config_of(Precision::kFp32, false);
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  const SystemClock clock;
  Saving saving(CheckpointFolder(folder.path()), {.newest = 2, .every_steps = 4},
                tensor_shapes(config.model), world, clock);
  for (int step = 1; step <= 7; ++step) {
    saving.wait();
    saving.begin(manifest_of(config, step, world.size()), training.ownership().owned());
  }
  saving.wait();
  std::set<std::int64_t> steps;
  for (const SavedStep& saved : CheckpointFolder(folder.path()).steps()) steps.insert(saved.step);
  EXPECT_EQ(steps, (std::set<std::int64_t>{4, 6, 7}));
}

/// Answers what it is told to, and remembers what it heard.
class ScriptedWitness final : public SaveWitness {
 public:
  Answer says = Answer::kNotYet;
  std::vector<std::int64_t> prepared_steps;
  std::vector<bool> committed;

  void prepared(std::int64_t step, const CheckpointFile& file) override {
    EXPECT_TRUE(file.digest.starts_with("xxh3-128:"));
    prepared_steps.push_back(step);
  }
  Answer answer() const override { return says; }
  std::string refusal() const override { return "generation 1 of this run has ended"; }
  void concluded(const SaveRecord& record) override { committed.push_back(record.committed); }
};

/// A save with a witness, of a folder and a model that all ranks share.
class WitnessedSave : public ::testing::Test {
 protected:
  void begin(std::int64_t step) {
    saving_.begin(manifest_of(config_, step, world_.size()), training_.ownership().owned());
  }

  /// Long after every rank has written.
  void poll_for_a_while() {
    for (int i = 0; i < 50; ++i) {
      saving_.poll();
      std::this_thread::sleep_for(std::chrono::milliseconds(4));
    }
  }

  Communicator& world_ = test_world();
  SharedFolder folder_;
  RunConfig config_ = config_of(Precision::kFp32, false);
  TrainingWorld training_{config_, world_, cut_placement(config_.model, world_.size())};
  SystemClock clock_;
  ScriptedWitness witness_;
  Saving saving_{CheckpointFolder(folder_.path()),
                 {},
                 tensor_shapes(config_.model),
                 world_,
                 clock_,
                 {},
                 write_shard,
                 &witness_};
};

TEST_F(WitnessedSave, IsCommittedWhenTheWitnessAgreesAndNotBefore) {
  begin(3);
  poll_for_a_while();
  EXPECT_EQ(witness_.prepared_steps, std::vector<std::int64_t>({3}));
  EXPECT_FALSE(saving_.take_result().has_value());
  EXPECT_FALSE(is_committed(CheckpointFolder(folder_.path()).path_of(3)));
  // Only rank 0 is asked.
  if (world_.rank() == 0) witness_.says = SaveWitness::Answer::kAgreed;
  poll_for_a_while();
  const std::optional<SaveRecord> record = saving_.take_result();
  ASSERT_TRUE(record.has_value());
  EXPECT_TRUE(record->committed) << record->failure;
  EXPECT_EQ(witness_.committed, std::vector<bool>({true}));
}

TEST_F(WitnessedSave, DoesWithoutAWitnessThatDoesNotAnswerWhenTrainingWaits) {
  begin(4);
  saving_.wait();
  EXPECT_TRUE(saving_.take_result().value().committed);
}

TEST_F(WitnessedSave, WaitsForOneThatIsAwayOnlyWhileTrainingGoesOn) {
  if (world_.rank() == 0) witness_.says = SaveWitness::Answer::kAway;
  begin(6);
  poll_for_a_while();
  EXPECT_FALSE(saving_.take_result().has_value());
  saving_.wait();
  EXPECT_TRUE(saving_.take_result().value().committed);
}

TEST_F(WitnessedSave, FailsOnEveryRankWhenTheWitnessRefuses) {
  if (world_.rank() == 0) witness_.says = SaveWitness::Answer::kRefused;
  begin(5);
  saving_.wait();
  const SaveRecord record = saving_.take_result().value();
  EXPECT_FALSE(record.committed);
  EXPECT_THAT(record.failure, ::testing::HasSubstr("generation 1 of this run has ended"));
  world_.barrier();  // rank 0 removes what was written
  EXPECT_FALSE(fs::exists(CheckpointFolder(folder_.path()).path_of(5)));
  EXPECT_EQ(witness_.committed, std::vector<bool>({false}));
}

}  // namespace
}  // namespace hetmoe::test
