#include "parallel/simulation/routed_tokens.h"

#include <algorithm>
#include <cstddef>
#include <map>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// Expected selections per token of one layer.
std::vector<double> expected(const Workload& workload, int layer, std::int64_t step, int top_k) {
  std::vector<double> selections = workload.expected_shares(layer, step);
  for (double& value : selections) value *= top_k;
  return selections;
}

RoutedTokens count_tokens(const Workload& workload, const RoutingShape& shape, int layer,
                          std::int64_t step) {
  const std::int64_t tokens = std::min(shape.tokens, kSampledTokens);
  std::map<std::vector<std::int32_t>, std::int64_t> sets;
  std::vector<std::int32_t> set(static_cast<std::size_t>(shape.top_k));
  RoutedTokens routed{.top_k = shape.top_k};
  routed.selected.resize(static_cast<std::size_t>(shape.experts));
  for (std::int64_t token = 0; token < tokens; ++token) {
    workload.select(layer, step, token, set);
    ++sets[set];
  }
  for (const auto& [experts, count] : sets) {
    routed.experts.insert(routed.experts.end(), experts.begin(), experts.end());
    routed.part.push_back(static_cast<double>(count) / static_cast<double>(tokens));
    for (const std::int32_t expert : experts) routed.selected[expert] += routed.part.back();
  }
  return routed;
}

}  // namespace

std::vector<RoutedTokens> route_step(const Workload& workload, const RoutingShape& shape,
                                     std::int64_t step) {
  HETMOE_CHECK(shape.tokens > 0, "a step of ", shape.tokens, " tokens");
  const bool is_sampled = shape.tokens > kSampledTokens;
  std::vector<RoutedTokens> layers;
  for (int layer = 0; layer < shape.layers; ++layer) {
    if (!is_sampled) {
      layers.push_back(count_tokens(workload, shape, layer, step));
      continue;
    }
    std::vector<double> selected = expected(workload, layer, step, shape.top_k);
    const auto same = std::find_if(layers.begin(), layers.end(), [&](const RoutedTokens& earlier) {
      return earlier.selected == selected;
    });
    RoutedTokens routed = same != layers.end() ? *same : count_tokens(workload, shape, layer, step);
    routed.selected = std::move(selected);
    layers.push_back(std::move(routed));
  }
  return layers;
}

std::vector<std::vector<double>> expected_selections(const Workload& workload,
                                                     const RoutingShape& shape,
                                                     std::int64_t last_step) {
  HETMOE_CHECK(last_step >= 1, "steps 1..", last_step);
  std::vector<std::vector<double>> layers;
  for (int layer = 0; layer < shape.layers; ++layer) {
    std::vector<double> sum(static_cast<std::size_t>(shape.experts), 0.0);
    for (std::int64_t step = 1; step <= last_step; ++step) {
      const std::vector<double> one = expected(workload, layer, step, shape.top_k);
      for (std::size_t expert = 0; expert < sum.size(); ++expert)
        sum[expert] += one[expert] / static_cast<double>(last_step);
    }
    layers.push_back(std::move(sum));
  }
  return layers;
}

}  // namespace hetmoe
