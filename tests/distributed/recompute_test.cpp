// Steps that compute activations again: the bits, and the exchanges, of steps that keep them.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/distributed/owned_values.h"
#include "tests/support/forwarding_communicator.h"
#include "tests/support/mpi_world.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

using Log = std::vector<std::string>;

/// Writes down what its rank calls, on it and on what it is split into.
class LoggedWorld final : public ForwardingCommunicator {
 public:
  LoggedWorld(std::unique_ptr<Communicator> inner, std::string name, std::shared_ptr<Log> log)
      : ForwardingCommunicator(std::move(inner)), name_(std::move(name)), log_(std::move(log)) {}

  Pending all_reduce(Buffer values, Reduction reduction) override {
    add("all_reduce", {&values.count, 1});
    return ForwardingCommunicator::all_reduce(values, reduction);
  }
  Pending reduce_scatter_v(ConstBuffer send, std::span<const std::int64_t> counts,
                           Buffer receive) override {
    add("reduce_scatter_v", counts);
    return ForwardingCommunicator::reduce_scatter_v(send, counts, receive);
  }
  Pending all_gather_v(Buffer values, std::span<const std::int64_t> counts) override {
    add("all_gather_v", counts);
    return ForwardingCommunicator::all_gather_v(values, counts);
  }
  Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts, Buffer receive,
                       std::span<const std::int64_t> receive_counts) override {
    add("all_to_all_v", send_counts);
    return ForwardingCommunicator::all_to_all_v(send, send_counts, receive, receive_counts);
  }
  std::unique_ptr<Communicator> split(int color, int key) override {
    std::ostringstream name;
    name << name_ << ++parts_;
    return std::make_unique<LoggedWorld>(ForwardingCommunicator::split(color, key), name.str(),
                                         log_);
  }

 private:
  void add(const char* operation, std::span<const std::int64_t> counts) {
    std::ostringstream line;
    line << name_ << " " << operation;
    for (const std::int64_t count : counts) line << " " << count;
    log_->push_back(line.str());
  }

  std::string name_;
  std::shared_ptr<Log> log_;
  int parts_ = 0;
};

struct Results {
  std::vector<double> outcomes;
  Values values;
  std::vector<std::vector<std::int64_t>> load;
  Log collectives;
};

Results train(RunConfig config, Recompute recompute) {
  config.train.recompute = recompute;
  auto log = std::make_shared<Log>();
  LoggedWorld world(test_world().split(0, test_world().rank()), "", log);
  Results results;
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  for (int step = 1; step <= 3; ++step) {
    const StepOutcome outcome = training.step(step);
    EXPECT_FALSE(outcome.skipped);
    results.outcomes.insert(results.outcomes.end(),
                            {outcome.loss, outcome.grad_norm, outcome.parameter_penalty,
                             outcome.load_balance, outcome.router_entropy, outcome.expert_flops});
    results.load = outcome.load;
  }
  training.parameters();
  results.collectives = *log;
  results.values = values_of_owners(config, training.ownership(), world);
  return results;
}

struct StepCase {
  const char* name;
  RunConfig config;
};

class RecomputedSteps : public testing::TestWithParam<StepCase> {};

TEST_P(RecomputedSteps, GiveTheBitsAndTheCollectivesOfStepsThatKeepAll) {
  const Results expected = train(GetParam().config, Recompute::kNone);
  for (const Recompute recompute : {Recompute::kExperts, Recompute::kBlock}) {
    const Results results = train(GetParam().config, recompute);
    EXPECT_TRUE(results.outcomes == expected.outcomes);
    EXPECT_EQ(results.load, expected.load);
    EXPECT_TRUE(results.values == expected.values);
    EXPECT_EQ(results.collectives, expected.collectives);
  }
}

RunConfig with_microbatches(RunConfig config) {
  config.train.global_batch = 6;
  config.train.microbatches = 3;  // two sequences each: ranks beyond the second have none
  return config;
}

/// With heads and widths that packed products take.
RunConfig in_bf16(RunConfig config) {
  config.train.precision = Precision::kBf16;
  config.model.hidden_size = 64;
  config.model.head_dim = 32;
  return config;
}

RunConfig with_top_p(RunConfig config) {
  config.model.router.kind = RouterKind::kTopP;
  config.model.router.top_p = 0.7;
  return config;
}

RunConfig with_hyper(RunConfig config, HyperConfig hyper = {}) {
  hyper.enabled = true;
  hyper.rank = 3;
  hyper.hidden = 6;
  hyper.embedding = 5;
  hyper.process = 4;
  hyper.input = 4;
  hyper.layer_embedding = 2;
  config.model.hyper = hyper;
  return config;
}

INSTANTIATE_TEST_SUITE_P(
    Configurations, RecomputedSteps,
    testing::Values(StepCase{"ragged", small_training()},
                    StepCase{"microbatches", with_microbatches(small_training())},
                    StepCase{"bf16", in_bf16(with_microbatches(small_training()))},
                    StepCase{"top_p", with_microbatches(with_top_p(small_training()))},
                    StepCase{"top_p_bf16", in_bf16(with_top_p(small_training()))},
                    StepCase{"generated", with_hyper(with_microbatches(small_training()))},
                    StepCase{"generated_gated_top_p_bf16",
                             in_bf16(with_hyper(with_top_p(small_training()), {.gated = true}))},
                    StepCase{"adapters",
                             with_hyper(small_training(), {.kind = HyperKind::kExpertAdapters})}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace hetmoe::test
