#include "runtime/trainer/global_batch.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>

#include "core/base/check.h"
#include "core/model/workload.h"
#include "parallel/agreement.h"

namespace hetmoe {

PlaceRange places_of_rank(PlaceRange all, int rank, int num_ranks) {
  const std::int64_t each = all.count / num_ranks;
  const std::int64_t rest = all.count % num_ranks;
  return {all.first + rank * each + std::min<std::int64_t>(rank, rest),
          each + (rank < rest ? 1 : 0)};
}

std::vector<std::int64_t> counts_of_ranks(std::int64_t all, std::span<const std::int64_t> weights) {
  const std::int64_t sum = std::reduce(weights.begin(), weights.end());
  HETMOE_CHECK(sum > 0, "weights of ", weights.size(), " ranks sum to ", sum);
  std::vector<std::int64_t> count;
  std::vector<std::int64_t> remainder;
  for (const std::int64_t weight : weights) {
    count.push_back(all * weight / sum);
    remainder.push_back(all * weight % sum);
  }
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) { return remainder[i]; });
  const std::int64_t left = all - std::reduce(count.begin(), count.end());
  for (std::int64_t i = 0; i < left; ++i) ++count[order[i]];
  return count;
}

PlaceRange places_of_rank(PlaceRange all, int rank, std::span<const std::int64_t> weights) {
  const std::vector<std::int64_t> count = counts_of_ranks(all.count, weights);
  return {std::accumulate(count.begin(), count.begin() + rank, all.first), count[rank]};
}

std::vector<std::int64_t> source_weights(const RunConfig& config, int num_ranks) {
  const auto& given = config.train.source_weights;
  if (!given.empty() && given.size() != static_cast<std::size_t>(num_ranks)) {
    throw AgreedError(ExitCode::kConfiguration,
                      "train.source_weights: " + std::to_string(given.size()) +
                          " numbers, allowed: " + std::to_string(num_ranks) +
                          ", one for each rank, or none");
  }
  if (!given.empty()) return given;
  const std::string& forced = config.model.router.forced;
  if (forced == "none") return std::vector<std::int64_t>(num_ranks, 1);
  const auto weights = source_weights(workload_of(forced), num_ranks);
  return {weights.begin(), weights.end()};
}

std::vector<std::int64_t> places(PlaceRange range) {
  std::vector<std::int64_t> list(static_cast<std::size_t>(range.count));
  std::iota(list.begin(), list.end(), range.first);
  return list;
}

}  // namespace hetmoe
