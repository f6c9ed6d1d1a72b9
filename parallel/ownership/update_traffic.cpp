#include "parallel/ownership/update_traffic.h"

#include "parallel/placement/owned_slices.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kGradientBytes = 4;

/// The elements of the formula, of one rank.
struct Elements {
  std::int64_t owned_dense = 0;
  std::int64_t held_not_owned = 0;
  std::int64_t copies_elsewhere = 0;
};

std::vector<Elements> elements_of_ranks(const UpdateTrafficProblem& problem) {
  const std::int64_t row_elements = kExpertMatrices * problem.hidden_size;
  std::vector<std::int64_t> owned = owned_rows(problem.placement, problem.groups);
  for (std::int64_t& elements : owned) elements *= row_elements;
  std::vector<Elements> ranks;
  for (const std::int64_t dense : owned_dense_elements(partition_dense(problem.dense, owned))) {
    ranks.push_back({.owned_dense = dense});
  }
  for (const LayerPlacement& layer : problem.placement.layers) {
    for (const SharedRows& shared : shared_rows(layer, problem.groups)) {
      ranks[shared.holder].held_not_owned += shared.rows() * row_elements;
      ranks[shared.owner].copies_elsewhere += shared.rows() * row_elements;
    }
  }
  return ranks;
}

}  // namespace

UpdateTraffic update_traffic(const UpdateTrafficProblem& problem) {
  std::int64_t dense = 0;
  for (const TensorSpec& spec : problem.dense) dense += spec.elements();
  const std::int64_t peers = problem.groups.ranks() - 1;
  UpdateTraffic traffic;
  for (const auto& [owned, not_owned, copies] : elements_of_ranks(problem)) {
    traffic.gradient_bytes.push_back(kGradientBytes * (dense - owned + not_owned));
    traffic.parameter_bytes.push_back(problem.value_bytes * (peers * owned + copies));
    traffic.buffer_bytes.push_back(peers > 0 ? kGradientBytes * (owned + not_owned + copies) : 0);
  }
  return traffic;
}

}  // namespace hetmoe
