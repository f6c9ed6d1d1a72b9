// A disk that hangs during a save: who hears of it, and how a job gets away from it.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "parallel/agreement.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/trainer/saving.h"
#include "tests/support/mpi_world.h"
#include "tests/support/shared_folder.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

namespace fs = std::filesystem;

/// Five seconds go by at each look.
class RunningClock final : public Clock {
 public:
  double monotonic_seconds() const override { return now_ += 5; }
  double wall_seconds() const override { return 0; }

 private:
  mutable double now_ = 0;
};

/// The last rank's disk hangs until the file `go` is there.
ShardWriter hanging_writer(const fs::path& go, bool hangs) {
  return [=](const fs::path& folder, const std::string& name, const std::vector<ShardRows>& rows) {
    while (hangs && !fs::exists(go)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return write_shard(folder, name, rows);
  };
}

class SlowSave : public testing::Test {
 protected:
  std::unique_ptr<Saving> saving(SavingPatience patience) {
    return std::make_unique<Saving>(
        CheckpointFolder(folder_.path() / "checkpoints"), Retention{}, tensor_shapes(config_.model),
        world_, clock_, std::move(patience), hanging_writer(go_, world_.rank() == last_rank()));
  }

  void begin(Saving& saving, std::int64_t step) {
    Manifest manifest;
    manifest.step = step;
    manifest.state = {.optimizer_updates = step,
                      .ranks = world_.size(),
                      .expert_group_size = world_.size(),
                      .plan = R"({"layers":[]})",
                      .config = resolved_yaml(config_)};
    saving.begin(std::move(manifest), training_.ownership().owned());
  }

  int last_rank() const { return world_.size() - 1; }
  void let_go() const { std::ofstream{go_}; }

  Communicator& world_ = test_world();
  SharedFolder folder_;
  fs::path go_ = folder_.path() / "go";
  RunConfig config_ = small_training();
  TrainingWorld training_{config_, world_, cut_placement(config_.model, world_.size())};
  RunningClock clock_;
};

TEST_F(SlowSave, IsToldOfAtGrowingIntervalsAndCommitsWhenTheDiskComesBack) {
  std::vector<hetmoe::SlowSave> told;
  const auto saving = this->saving({.tell = [&](const hetmoe::SlowSave& slow) {
    told.push_back(slow);
    if (told.size() == 3) let_go();
  }});
  begin(*saving, 7);
  saving->wait();
  EXPECT_TRUE(saving->take_result().value().committed);
  if (world_.rank() != 0) {
    EXPECT_TRUE(told.empty());
    return;
  }
  ASSERT_GE(told.size(), 3U);
  const double bounds[] = {60, 120, 240, 480};
  for (int i = 0; i < 3; ++i) {
    EXPECT_GE(told[i].seconds, bounds[i]);
    EXPECT_LT(told[i].seconds, bounds[i + 1]);
    EXPECT_EQ(told[i].step, 7);
    EXPECT_EQ(told[i].folder.filename(), "step-00000007");
    EXPECT_EQ(told[i].rank, last_rank());
    EXPECT_TRUE(told[i].blocks);
  }
}

TEST_F(SlowSave, IsToldOfWhileTrainingGoesOn) {
  int told = 0;
  const auto saving = this->saving({.wait_seconds = 1, .tell = [&](const hetmoe::SlowSave& slow) {
                                      EXPECT_FALSE(slow.blocks);
                                      ++told;
                                    }});
  begin(*saving, 7);
  for (int step = 0; step < 100; ++step) saving->poll();  // no patience is needed for that
  EXPECT_EQ(told > 0, world_.rank() == 0);
  let_go();
  const auto patient = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::optional<SaveRecord> result;
  while (!(result = saving->take_result()) && std::chrono::steady_clock::now() < patient) {
    saving->poll();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(result && result->committed);
}

TEST_F(SlowSave, IsGivenUpByEveryRankAndWhatWasSavedBeforeStays) {
  {
    let_go();
    const auto quick = saving({});
    begin(*quick, 1);
    quick->wait();
    ASSERT_TRUE(quick->take_result().value().committed);
    world_.barrier();
    fs::remove(go_);
    world_.barrier();
  }
  std::vector<std::string> given_up;
  const auto saving =
      this->saving({.wait_seconds = 600, .give_up = [&](int rank, const std::string& text) {
                      EXPECT_EQ(rank, last_rank());
                      given_up.push_back(text);
                    }});
  begin(*saving, 2);
  try {
    saving->wait();
    ADD_FAILURE() << "waited for ever";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kStorage);
    const std::string text = error.what();
    EXPECT_NE(text.find("step-00000002"), std::string::npos) << text;
    EXPECT_NE(text.find("600 s"), std::string::npos) << text;
    EXPECT_NE(text.find("rank " + std::to_string(last_rank()) + " has"), std::string::npos) << text;
    EXPECT_EQ(given_up, std::vector{text});
  }
  CheckpointReader reader(resolve_checkpoint(folder_.path()));
  EXPECT_EQ(reader.manifest().step, 1);
  reader.verify();
  let_go();  // or the test would hang as well
}

}  // namespace
}  // namespace hetmoe::test
