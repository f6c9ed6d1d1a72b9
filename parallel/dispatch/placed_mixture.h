#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

#include "core/kernels/expert_kernels.h"
#include "core/kernels/gpu/product_table.h"
#include "core/model/moe_layer.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/placement.h"
#include "parallel/placement/rank_nodes.h"

namespace hetmoe {

/// What experts are computed with, and on what.
struct MixtureKind {
  at::ScalarType type = at::kFloat;
  std::int64_t hidden_size = 0;
  GateUpProducts gate_up = GateUpProducts::kKept;
  bool on_gpu = false;
  int dispatch_parts = 1;      ///< on GPUs (gpu_all_to_all.h)
  gpu::ProductTable products;  ///< how a GPU multiplies
  RankNodes nodes = {};        ///< of the group's ranks; on CPUs rows go by them
};

/// The mixture whose tokens go where a placement says.
class PlacedMixture {
 public:
  /// `group` (the expert group, this class of traffic alone; of the memory that the kind computes
  /// in) must outlive it.
  PlacedMixture(Communicator& group, const Placement& placement, const MixtureKind& kind);

  Mixture& get() { return *mixture_; }
  const Mixture& get() const { return *mixture_; }

  /// From the next dispatch on; no exchange may be under way. Every rank of the group, the same; in
  /// groups of two ranks or more.
  void follow(const Placement& placement);

 private:
  std::unique_ptr<Mixture> mixture_;
  std::function<void(const Placement&)> follow_;  ///< none in groups of one rank
};

}  // namespace hetmoe
