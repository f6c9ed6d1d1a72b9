#include "runtime/inference/sampling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {
namespace {

void require_finite(std::span<const float> logits) {
  HETMOE_CHECK(!logits.empty(), "no logits");
  const auto bad = std::ranges::find_if(logits, [](float logit) { return !std::isfinite(logit); });
  if (bad == logits.end()) return;
  throw Error(ExitCode::kNonFinite, "the logit of token " + std::to_string(bad - logits.begin()) +
                                        " is not finite: the model has diverged");
}

void keep_top_k(std::vector<double>& chances, std::int64_t top_k) {
  if (top_k <= 0 || top_k >= static_cast<std::int64_t>(chances.size())) return;
  std::vector<double> ordered = chances;
  const auto last_kept = ordered.begin() + top_k - 1;
  std::ranges::nth_element(ordered, last_kept, std::ranges::greater());
  for (double& chance : chances) {
    if (chance < *last_kept) chance = 0;
  }
}

void keep_top_p(std::vector<double>& chances, double top_p) {
  if (top_p >= 1) return;
  std::vector<std::size_t> order(chances.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](std::size_t token) { return chances[token]; });
  const double share = top_p * std::reduce(chances.begin(), chances.end());
  double before = chances[order.front()];  // which stays, whatever the share
  for (const std::size_t token : std::span(order).subspan(1)) {
    const double chance = chances[token];
    if (before >= share) chances[token] = 0;
    before += chance;
  }
}

}  // namespace

std::vector<double> token_chances(std::span<const float> logits, const Sampling& sampling) {
  require_finite(logits);
  HETMOE_CHECK(sampling.temperature > 0, "temperature ", sampling.temperature);
  // The largest has chance 1 whatever the temperature, so that the sum is never 0.
  const double largest = *std::ranges::max_element(logits);
  std::vector<double> chances;
  chances.reserve(logits.size());
  for (const float logit : logits) {
    chances.push_back(std::exp((static_cast<double>(logit) - largest) / sampling.temperature));
  }
  keep_top_k(chances, sampling.top_k);
  keep_top_p(chances, sampling.top_p);
  return chances;
}

std::int32_t sample_token(std::span<const float> logits, const Sampling& sampling,
                          const CounterRandom& random, std::uint64_t position) {
  const auto likeliest = [&] {
    return static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
  };
  if (sampling.temperature == 0) {
    require_finite(logits);
    return likeliest();
  }
  std::vector<double> upper = token_chances(logits, sampling);
  std::partial_sum(upper.begin(), upper.end(), upper.begin());
  const double sum = upper.back();
  const auto drawn = std::ranges::upper_bound(upper, random.uniform(position, 0) * sum);
  // A product just below the sum may be rounded up to it.
  return drawn == upper.end() ? likeliest() : static_cast<std::int32_t>(drawn - upper.begin());
}

}  // namespace hetmoe
