#pragma once

#include "core/model/router_statistics.h"
#include "parallel/communicator/communicator.h"

namespace hetmoe {

/// Router statistics summed over the world in one all-reduce.
class StatisticsAllReduce final : public StatisticsReducer {
 public:
  /// `world` must outlive this.
  explicit StatisticsAllReduce(Communicator& world) : world_(world) {}

  void all_reduce(std::span<double> values) override {
    world_.all_reduce(buffer_of(values), Reduction::kSum).wait();
  }

 private:
  Communicator& world_;
};

}  // namespace hetmoe
