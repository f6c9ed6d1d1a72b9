#pragma once

#include "core/model/router_statistics.h"
#include "parallel/communicator/communicator.h"
#include "parallel/dispatch/tensor_buffer.h"

namespace hetmoe {

/// Router statistics summed over the world in one all-reduce.
class StatisticsAllReduce final : public StatisticsReducer {
 public:
  /// Both are the world's and must outlive this: `world` over memory of the host, `devices` over
  /// that of GPUs where tensors are there.
  StatisticsAllReduce(Communicator& world, Communicator& devices)
      : world_(world), devices_(devices) {}

  void all_reduce(std::span<double> values) override {
    world_.all_reduce(buffer_of(values), Reduction::kSum).wait();
  }
  void all_reduce(at::Tensor& values) override {
    devices_.all_reduce(tensor_buffer(values), Reduction::kSum).wait();
  }

 private:
  Communicator& world_;
  Communicator& devices_;
};

}  // namespace hetmoe
