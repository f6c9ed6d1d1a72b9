#pragma once

#include <cstdint>
#include <vector>

#include "parallel/placement/rebalance_decision.h"

namespace hetmoe {

/// Tokens of a step that select each expert, averaged over the last hundred steps or so: what a
/// resumed run plans from on other ranks. The same on every rank.
class LoadAverage {
 public:
  /// `load`: [layers][experts] tokens of one step, all ranks.
  void add(const Loads& load);

  /// Goes on from a saved average.
  void restore(const Loads& load);

  /// Rounded; empty before the first step.
  Loads tokens() const;

 private:
  std::int64_t steps_ = 0;
  std::vector<std::vector<double>> mean_;
};

}  // namespace hetmoe
