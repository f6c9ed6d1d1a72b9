#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "parallel/ownership/dense_partition.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// What a step's gradients and updated parameters take between ranks, [world ranks] each.
struct UpdateTraffic {
  std::vector<std::int64_t> gradient_bytes;   ///< sent to other ranks
  std::vector<std::int64_t> parameter_bytes;  ///< sent to other ranks
  std::vector<std::int64_t> buffer_bytes;     ///< memory held for both, from step to step
};

/// What the parameters of one run are, for their traffic.
struct UpdateTrafficProblem {
  std::span<const TensorSpec> dense;
  const Placement& placement;  ///< over the ranks of one group
  ExpertGroups groups;
  std::int64_t hidden_size = 0;
  std::int64_t value_bytes = 4;  ///< of a compute copy: 4 in fp32, 2 in bf16
};

/// Exactly what Ownership sends in a step that is not skipped, and holds. With n ranks, dense
/// elements d of which a rank owns o, h elements of slices that it holds and others own, c copies
/// on other ranks of those that it owns, and compute copies of b bytes:
///   gradients   4 (d - o + h)
///   parameters  b ((n - 1) o + c)
///   buffers     4 (o + h + c), none on one rank
/// Pure.
UpdateTraffic update_traffic(const UpdateTrafficProblem& problem);

}  // namespace hetmoe
