#include "parallel/simulation/source_sequences.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// Parts that are equal on paper differ by this much in floating point.
constexpr double kRounding = 1e-9;

}  // namespace

std::vector<std::int64_t> deal_sequences(std::int64_t sequences, std::span<const double> weights) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  HETMOE_CHECK(total > 0 && sequences >= 0, sequences, " sequences, weights sum to ", total);
  std::vector<std::int64_t> dealt;
  std::vector<double> remainder;
  std::int64_t left = sequences;
  for (const double weight : weights) {
    const double ideal = static_cast<double>(sequences) * weight / total;
    dealt.push_back(static_cast<std::int64_t>(std::floor(ideal + kRounding)));
    remainder.push_back(ideal - static_cast<double>(dealt.back()));
    left -= dealt.back();
  }
  std::vector<std::size_t> order(dealt.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::round(remainder[a] / kRounding) > std::round(remainder[b] / kRounding);
  });
  for (std::size_t i = 0; left > 0; ++i, --left) ++dealt[order[i]];
  return dealt;
}

}  // namespace hetmoe
