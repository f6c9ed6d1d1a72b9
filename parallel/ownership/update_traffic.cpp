#include "parallel/ownership/update_traffic.h"

#include <numeric>

#include "parallel/placement/owned_slices.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kGradientBytes = 4;

}  // namespace

UpdateTraffic update_traffic(const UpdateTrafficProblem& problem) {
  const int ranks = problem.groups.ranks();
  const std::int64_t row_elements = kExpertMatrices * problem.hidden_size;
  std::vector<std::int64_t> owned = owned_rows(problem.placement, problem.groups);
  for (std::int64_t& elements : owned) elements *= row_elements;
  const auto dense = owned_dense_elements(partition_dense(problem.dense, owned));
  const std::int64_t all_dense = std::reduce(dense.begin(), dense.end());
  UpdateTraffic traffic;
  for (const std::int64_t own : dense) {
    traffic.gradient_bytes.push_back(kGradientBytes * (all_dense - own));
    traffic.parameter_bytes.push_back(problem.value_bytes * (ranks - 1) * own);
  }
  for (const LayerPlacement& layer : problem.placement.layers) {
    for (const SharedRows& shared : shared_rows(layer, problem.groups)) {
      const std::int64_t elements = shared.rows() * row_elements;
      traffic.gradient_bytes[shared.holder] += kGradientBytes * elements;
      traffic.parameter_bytes[shared.owner] += problem.value_bytes * elements;
    }
  }
  return traffic;
}

}  // namespace hetmoe
