#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "parallel/ownership/dense_partition.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// Bytes that a step's gradients and updated parameters take between ranks. Both [world ranks],
/// sent to other ranks.
struct UpdateTraffic {
  std::vector<std::int64_t> gradient_bytes;
  std::vector<std::int64_t> parameter_bytes;
};

/// What the parameters of one run are, for their traffic.
struct UpdateTrafficProblem {
  std::span<const TensorSpec> dense;
  const Placement& placement;  ///< over the ranks of one group
  ExpertGroups groups;
  std::int64_t hidden_size = 0;
  std::int64_t value_bytes = 4;  ///< of a compute copy: 4 in fp32, 2 in bf16
};

/// Exactly what Ownership sends in a step that is not skipped. With n ranks, dense elements d of
/// which rank r owns d_r, and copies of slices of 3 D elements a row:
///   gradients   4 (d - d_r) + 4 * elements held here and owned by others
///   parameters  b (n - 1) d_r + b * elements owned here, once for every other holder
/// Pure.
UpdateTraffic update_traffic(const UpdateTrafficProblem& problem);

}  // namespace hetmoe
