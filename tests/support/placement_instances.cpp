#include "tests/support/placement_instances.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/base/random.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kWidths[] = {864, 1056, 1248, 1440, 1632, 1824, 2016, 2208};
constexpr double kSelectionsPerExpert = 4096;
constexpr double kMostOfAll = 0.5;

/// Shares of at most a half that sum to one: what is above goes to the others.
void cap_shares(std::vector<double>& shares) {
  double sum = 0;
  for (double share : shares) sum += share;
  for (double& share : shares) share /= sum;
  const auto largest = std::max_element(shares.begin(), shares.end());
  if (*largest <= kMostOfAll) return;
  const double others = 1 - *largest;
  for (double& share : shares) share *= (1 - kMostOfAll) / others;
  *largest = kMostOfAll;
}

}  // namespace

PlanProblem random_instance(const InstanceKind& kind, std::uint64_t seed) {
  std::vector<float> normal(static_cast<std::size_t>(kind.experts));
  CounterRandom(seed, "instance " + std::to_string(kind.experts) + " " + std::to_string(kind.ranks))
      .fill_normal(0, 1.0, normal);
  std::vector<double> shares;
  for (float value : normal) shares.push_back(std::exp(kind.sigma * static_cast<double>(value)));
  cap_shares(shares);
  PlanProblem problem;
  problem.hidden_size = 768;
  problem.ranks = kind.ranks;
  PlanLayer& layer = problem.layers.emplace_back();
  for (int e = 0; e < kind.experts; ++e) {
    layer.widths.push_back(kWidths[e % 8]);
    layer.tokens.push_back(std::llround(shares[e] * kSelectionsPerExpert * kind.experts));
  }
  return problem;
}

}  // namespace hetmoe
