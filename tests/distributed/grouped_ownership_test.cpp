// Ownership under several expert groups, with real gradients: each group dispatches its tokens
// among its own ranks.
#include <gtest/gtest.h>

#include "core/data/random_batch_reader.h"
#include "core/model/local_token_dispatcher.h"
#include "parallel/placement/held_slices.h"
#include "tests/support/mpi_world.h"
#include "tests/support/one_rank.h"

namespace hetmoe::test {
namespace {

class GroupedTraining {
 public:
  GroupedTraining(const RunConfig& config, Communicator& world, const ExpertGroups& groups,
                  const Placement& placement)
      : config_(config),
        slices_(slices_of_rank(placement, groups.rank_in_group(world.rank()))),
        traffic_(world),
        group_(world.split(groups.group_of(world.rank()), world.rank())),
        reader_(config.train.seed, config.model.vocab_size, config.train.sequence_length,
                config.train.global_batch),
        parameters_(config_.model, slices_, at::kFloat),
        ownership_(*traffic_.gradients, *traffic_.parameters, parameters_, placement, groups),
        dispatcher_(groups.size > 1 ? make_all_to_all_token_dispatcher(*group_, placement)
                                    : make_local_token_dispatcher(slices_)) {
    ownership_.initialize(config.train.seed);
  }

  StepOutcome step(std::int64_t number) { return step_.run(number); }
  const Ownership& ownership() const { return ownership_; }

 private:
  RunConfig config_;
  std::vector<Slice> slices_;
  TrafficClasses traffic_;
  std::unique_ptr<Communicator> group_;
  RandomBatchReader reader_;
  SystemClock clock_;
  ParameterStore parameters_;
  Ownership ownership_;
  StatisticsAllReduce statistics_{*traffic_.control};
  std::unique_ptr<TokenDispatcher> dispatcher_;
  std::unique_ptr<ExpertKernels> kernels_ =
      make_expert_kernels(at::kFloat, config_.model.hidden_size);
  Decoder decoder_{config_.model,
                   {.parameters = parameters_,
                    .kernels = *kernels_,
                    .dispatcher = *dispatcher_,
                    .gate = ownership_,
                    .clock = clock_,
                    .listener = ownership_}};
  TrainingStep step_{{.config = config_,
                      .decoder = decoder_,
                      .parameters = parameters_,
                      .ownership = ownership_,
                      .statistics = statistics_,
                      .control = *traffic_.control,
                      .reader = reader_,
                      .clock = clock_}};
};

TEST(GroupedOwnership, GivesTheLossAndGradientsOfOneRank) {
  const RunConfig config = small_training();
  Communicator& world = test_world();
  for (int size = 1; size <= world.size(); ++size) {
    if (world.size() % size != 0) continue;
    SCOPED_TRACE(std::to_string(world.size()) + " ranks in groups of " + std::to_string(size));
    const ExpertGroups groups = ExpertGroups::of_world(world.size(), size);
    for (const auto placement : {cut_placement, replicated_placement}) {
      GroupedTraining training(config, world, groups, placement(config.model, size));
      OneRank expected(config);
      const StepOutcome expected_outcome = expected.step(1);
      expect_same_outcome(training.step(1), expected_outcome);
      expect_same_gradients(training.ownership(), expected, expected_outcome.grad_norm);
      // AdamW makes much of little gradients, so from here on losses must do.
      for (int step = 2; step <= 4; ++step) {
        const double loss = expected.step(step).loss;
        EXPECT_NEAR(training.step(step).loss, loss, 1e-5 * loss) << "step " << step;
      }
    }
  }
}

}  // namespace
}  // namespace hetmoe::test
