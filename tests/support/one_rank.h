#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "parallel/communicator/local_communicator.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {

/// The same steps by one rank that holds all: the answer that any number of ranks must give.
class OneRank {
 public:
  explicit OneRank(const RunConfig& config);

  StepOutcome step(std::int64_t number) { return training_.step(number); }
  ParameterStore& parameters() { return training_.parameters(); }

  /// Summed gradient of one whole tensor, [rows, columns].
  at::Tensor gradient(const std::string& name) const;

 private:
  LocalWorld world_{1};
  std::unique_ptr<Communicator> communicator_;
  TrainingWorld training_;
};

void expect_same_outcome(const StepOutcome& outcome, const StepOutcome& expected);

/// Every row owned here carries the whole world's gradient. Differences of small gradients are
/// those of the sums that they come from, so the norm of all gradients counts too.
void expect_same_gradients(const Ownership& ownership, const OneRank& expected, double norm);

}  // namespace hetmoe::test
