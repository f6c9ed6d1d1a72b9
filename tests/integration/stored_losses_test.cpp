// A small fixed run, to say when the program computes something else than it did: its losses are
// stored. After a change that is meant to alter them, store what this test prints; whether they
// are right is for peer_reference_test to say.

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/integration/assembled_run.h"
#include "tests/integration/peer_reference.h"
#include "tests/support/byte_shard.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kSteps = 20;
constexpr double kStored = 1e-5;
constexpr double kBf16 = 3e-3;

class StoredLosses : public ::testing::Test {
 protected:
  RunConfig config(const std::string& precision) const {
    return load_run_config("tests/integration/stored_losses.yaml",
                           {"data.train=" + shard_, "train.precision=" + precision});
  }

  static std::vector<double> losses(const RunConfig& config, int ranks,
                                    std::int64_t steps = kSteps) {
    const Placement placement =
        ranks == 1 ? whole_experts(config, 1) : with_cut_experts(config, ranks);
    std::vector<double> losses;
    for (const auto& outcome : outcomes_of_run(config, placement, ranks, steps)) {
      losses.push_back(outcome.loss);
    }
    return losses;
  }

 private:
  TemporaryFolder folder_;
  std::string shard_ = prepare_byte_shard("tests/peers/reference/text.txt", folder_.path());
};

double worst_difference(const std::vector<double>& losses, const std::vector<double>& expected) {
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = relative_difference(losses.at(i), expected[i]);
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

TEST_F(StoredLosses, AreWhatTheRunGives) {
  std::ifstream file("tests/integration/stored_losses.json");
  ASSERT_TRUE(file);
  const auto stored = nlohmann::json::parse(file).get<std::vector<double>>();
  ASSERT_EQ(stored.size(), static_cast<std::size_t>(kSteps));
  for (const int ranks : {1, 2}) {
    const std::vector<double> made = losses(config("fp32"), ranks);
    const double worst = worst_difference(made, stored);
    std::printf("  losses on %d ranks against the stored: %.1e\n", ranks, worst);
    EXPECT_LT(worst, kStored) << "the run gives " << nlohmann::json(made).dump();
  }
}

TEST_F(StoredLosses, AreTheSameBitsInASecondRun) {
  for (const int ranks : {1, 2}) {
    EXPECT_EQ(losses(config("fp32"), ranks), losses(config("fp32"), ranks)) << ranks << " ranks";
    // Fewer steps: bf16 is slow on many processors.
    EXPECT_EQ(losses(config("bf16"), ranks, 5), losses(config("bf16"), ranks, 5))
        << ranks << " ranks, bf16";
  }
}

// A rebalance moves slices while training goes on as if nothing had happened.
TEST_F(StoredLosses, OfTheTwentyStepsAfterARebalanceAreThoseWithoutIt) {
  constexpr std::int64_t kBefore = 4;
  for (const int ranks : {2, 3}) {
    RunConfig longer = config("fp32");
    longer.train.steps = kBefore + kSteps;
    const auto losses_with = [&](const std::vector<Move>& moves) {
      std::vector<double> losses;
      for (const auto& outcome : outcomes_of_run(longer, whole_experts(longer, ranks), ranks,
                                                 longer.train.steps, moves)) {
        losses.push_back(outcome.loss);
      }
      return losses;
    };
    const std::vector<double> without = losses_with({});
    const std::vector<double> with = losses_with({{kBefore, with_cut_experts(longer, ranks)}});
    const double worst = worst_difference(with, without);
    std::printf("  losses on %d ranks after a rebalance: %.1e\n", ranks, worst);
    EXPECT_LT(worst, kStored);
    EXPECT_GT(without[kBefore] - without.back(), 1.0) << "the run must learn";
  }
}

TEST_F(StoredLosses, OfBf16StayNearThoseOfFp32) {
  const double worst = worst_difference(losses(config("bf16"), 1), losses(config("fp32"), 1));
  std::printf("  bf16 against fp32: %.1e\n", worst);
  EXPECT_LT(worst, kBf16);
  EXPECT_GT(worst, 0) << "bf16 gave the bits of fp32";
}

TEST_F(StoredLosses, ChangeWithTheSeed) {
  RunConfig other = config("fp32");
  other.train.seed += 1;
  EXPECT_GT(worst_difference(losses(other, 1), losses(config("fp32"), 1)), 100 * kStored);
}

}  // namespace
}  // namespace hetmoe
