// Our program against a plain PyTorch program in double precision: the same initial values, the
// same tokens, on one rank and on several.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>

#include "parallel/communicator/local_communicator.h"
#include "tests/integration/assembled_run.h"
#include "tests/integration/peer_reference.h"
#include "tests/support/byte_shard.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

constexpr double kStepOne = 1e-5;
constexpr double kLosses = 1e-4;
constexpr double kRanks = 1e-5;
constexpr std::int64_t kStepsOnRanks = 20;
constexpr auto kCases = {"top_k", "top_p", "top_1_unclipped", "released_code", "grouped_heads"};

/// The text that all cases read, prepared once.
class Text : public ::testing::Environment {
 public:
  void SetUp() override {
    folder_ = std::make_unique<TemporaryFolder>();
    prefix = prepare_byte_shard("tests/peers/reference/text.txt", folder_->path());
  }
  void TearDown() override { folder_.reset(); }

  inline static std::string prefix;

 private:
  std::unique_ptr<TemporaryFolder> folder_;
};
[[maybe_unused]] const auto* const kText = ::testing::AddGlobalTestEnvironment(new Text);

struct Recorded {
  std::vector<StepOutcome> outcomes;
  GatheredGradients first_gradients;
};

/// Runs the case on threads and keeps what rank 0 saw and the gradients of step 1.
void record(const RunConfig& config, const Placement& placement, int ranks, std::int64_t steps,
            Recorded& recorded) {
  run_ranks(ranks, [&](Communicator& world) {
    AssembledRun run(config, world, placement);
    for (std::int64_t number = 1; number <= steps; ++number) {
      StepOutcome outcome = run.step(number);
      if (number == 1) recorded.first_gradients.add(run.ownership());
      if (world.rank() == 0) recorded.outcomes.push_back(std::move(outcome));
    }
  });
}

/// Largest relative difference of one number per step over the steps that both have.
double worst_of(const std::vector<StepOutcome>& outcomes, const std::vector<double>& expected,
                double StepOutcome::*number, std::size_t steps) {
  double worst = 0;
  for (std::size_t i = 0; i < steps; ++i) {
    const double difference = relative_difference(outcomes.at(i).*number, expected.at(i));
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

/// The same for everything that a step reports.
double worst_of_step_one(const std::vector<StepOutcome>& outcomes, const PeerReference& peer) {
  return std::max({worst_of(outcomes, peer.loss, &StepOutcome::loss, 1),
                   worst_of(outcomes, peer.grad_norm, &StepOutcome::grad_norm, 1),
                   worst_of(outcomes, peer.parameter_penalty, &StepOutcome::parameter_penalty, 1),
                   worst_of(outcomes, peer.load_balance, &StepOutcome::load_balance, 1),
                   worst_of(outcomes, peer.router_entropy, &StepOutcome::router_entropy, 1)});
}

void expect_step_one(const Recorded& recorded, const PeerReference& peer) {
  const WorstGradient gradient = worst_gradient(peer, recorded.first_gradients);
  const double scalar = worst_of_step_one(recorded.outcomes, peer);
  std::printf("  step 1: gradients %.1e (%s), loss, norm and auxiliary losses %.1e\n",
              gradient.difference, gradient.name.c_str(), scalar);
  EXPECT_LT(gradient.difference, kStepOne) << gradient.name;
  EXPECT_LT(scalar, kStepOne);
}

class OneRank : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Cases, OneRank, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(OneRank, TrainsLikeThePeer) {
  const PeerReference peer = read_peer_reference(GetParam());
  const RunConfig config = config_of(peer, Text::prefix);
  const std::size_t steps = peer.loss.size();
  ASSERT_EQ(steps, 50U);
  Recorded recorded;
  record(config, whole_experts(config, 1), 1, static_cast<std::int64_t>(steps), recorded);

  expect_step_one(recorded, peer);
  const auto& outcomes = recorded.outcomes;
  const double loss = worst_of(outcomes, peer.loss, &StepOutcome::loss, steps);
  const double norm = worst_of(outcomes, peer.grad_norm, &StepOutcome::grad_norm, steps);
  std::printf("  %zu steps: loss %.4f to %.4f, losses %.1e, gradient norms %.1e\n", steps,
              outcomes.front().loss, outcomes.back().loss, loss, norm);
  EXPECT_LT(loss, kLosses);
  EXPECT_LT(worst_of(outcomes, peer.parameter_penalty, &StepOutcome::parameter_penalty, steps),
            kLosses);
  EXPECT_LT(worst_of(outcomes, peer.load_balance, &StepOutcome::load_balance, steps), kLosses);
  EXPECT_LT(worst_of(outcomes, peer.router_entropy, &StepOutcome::router_entropy, steps), kLosses);
  EXPECT_LT(worst_of(outcomes, peer.learning_rate, &StepOutcome::learning_rate, steps), 1e-9);
  EXPECT_LT(outcomes.back().loss, outcomes.front().loss - 1.0) << "nothing was learnt";
}

// Without this a comparison of clipped steps could compare unclipped ones.
TEST(PeerReferences, SomeStepsAreClippedAndSomeCaseIsNot) {
  for (const char* name : kCases) {
    const PeerReference peer = read_peer_reference(name);
    const RunConfig config = config_of(peer, Text::prefix);
    if (config.train.clip_norm == 0) continue;
    EXPECT_GT(peer.grad_norm.front(), config.train.clip_norm) << name;
  }
}

struct Spread {
  const char* name;
  int ranks;
  bool cut;
};
std::ostream& operator<<(std::ostream& out, const Spread& spread) {
  return out << spread.ranks << (spread.cut ? " ranks, experts cut" : " ranks, whole experts");
}

/// Losses of the case on one rank, made once.
const std::vector<double>& losses_on_one_rank(const std::string& name, const RunConfig& config) {
  static std::map<std::string, std::vector<double>> losses;
  auto& known = losses[name];
  if (known.empty()) {
    for (const auto& outcome :
         outcomes_of_run(config, whole_experts(config, 1), 1, kStepsOnRanks)) {
      known.push_back(outcome.loss);
    }
  }
  return known;
}

class SeveralRanks : public ::testing::TestWithParam<std::tuple<const char*, Spread>> {};
INSTANTIATE_TEST_SUITE_P(Cases, SeveralRanks,
                         ::testing::Combine(::testing::ValuesIn(kCases),
                                            ::testing::Values(Spread{"2_ranks_whole", 2, false},
                                                              Spread{"2_ranks_cut", 2, true},
                                                              Spread{"3_ranks_whole", 3, false},
                                                              Spread{"3_ranks_cut", 3, true})),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + "_" +
                                  std::get<1>(test.param).name;
                         });

void expect_like_one_rank(const char* name, const Spread& spread) {
  const PeerReference peer = read_peer_reference(name);
  const RunConfig config = config_of(peer, Text::prefix);
  const Placement placement =
      spread.cut ? with_cut_experts(config, spread.ranks) : whole_experts(config, spread.ranks);
  Recorded recorded;
  record(config, placement, spread.ranks, kStepsOnRanks, recorded);
  expect_step_one(recorded, peer);
  const double loss = worst_of(recorded.outcomes, losses_on_one_rank(name, config),
                               &StepOutcome::loss, kStepsOnRanks);
  std::printf("  %lld steps against one rank: losses %.1e\n", static_cast<long long>(kStepsOnRanks),
              loss);
  EXPECT_LT(loss, kRanks);
}

TEST_P(SeveralRanks, TrainLikeOneRankAndThePeer) {
  const auto [name, spread] = GetParam();
  expect_like_one_rank(name, spread);
}

// Five sequences per microbatch on six ranks.
TEST(MoreRanksThanSequences, ARankWithoutSequencesStillServesItsExperts) {
  expect_like_one_rank("top_k", Spread{"6_ranks", 6, true});
}

}  // namespace
}  // namespace hetmoe
