#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/base/random.h"
#include "core/model/router.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kFeatures = 8;
constexpr std::int64_t kTokens = 256;

/// Random token vectors; the first feature is always 1.
at::Tensor tokens_of_step(int step) {
  at::Tensor x = test_values("x", {kTokens, kFeatures});
  std::vector<float> values(static_cast<std::size_t>(x.numel()));
  CounterRandom(3, "tokens").fill_normal(static_cast<std::uint64_t>(step), 1.0, values);
  auto* out = x.mutable_data_ptr<double>();
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = i % kFeatures == 0 ? 1.0 : values[i];
  return x;
}

/// Trains a router by the penalty alone with plain gradient descent; gives the share of selections
/// of every expert, over the second half of the steps.
std::vector<double> shares_under_penalty(const std::vector<std::int64_t>& widths, int top_k) {
  const auto experts = static_cast<std::int64_t>(widths.size());
  const auto relative = relative_widths(widths);
  const RouterConfig config{.kind = RouterKind::kTopK, .top_k = top_k, .parameter_penalty = 1.0};
  at::Tensor router = test_values("router", {experts, kFeatures}, 0.5);
  std::vector<double> selections(widths.size(), 0.0);
  constexpr int kSteps = 2400;
  for (int step = 0; step < kSteps; ++step) {
    const at::Tensor x = tokens_of_step(step);
    const Routing routing = route(at::mm(x, router.t()), config);
    RouterStatistics statistics(1, static_cast<int>(experts));
    const LayerStatistics layer = statistics.layer(0);
    add_statistics(routing, relative, layer);
    const std::vector<double> dgates(routing.expert.size(), 0.0);
    const at::Tensor dlogits = route_backward(routing, {dgates, {}},
                                              {.config = config,
                                               .relative_width = relative,
                                               .global_selected = layer.selected,
                                               .global_tokens = kTokens,
                                               .microbatches = 1});
    router.sub_(at::mm(dlogits.t(), x), 0.05);
    if (step < kSteps / 2) continue;
    for (std::size_t i = 0; i < selections.size(); ++i) selections[i] += layer.selected[i];
  }
  const double total = std::reduce(selections.begin(), selections.end());
  for (double& value : selections) value /= total;
  return selections;
}

TEST(ParameterPenalty, AloneDrivesSharesTowardsOneOverWidth) {
  const std::vector<std::int64_t> widths = {9, 11, 13, 15, 17, 19, 21, 23};
  double sum = 0;
  for (const std::int64_t width : widths) sum += 1.0 / static_cast<double>(width);
  for (const int top_k : {1, 2}) {
    const auto shares = shares_under_penalty(widths, top_k);
    for (std::size_t i = 0; i < widths.size(); ++i) {
      EXPECT_NEAR(shares[i], 1.0 / static_cast<double>(widths[i]) / sum, 0.02)
          << "top-" << top_k << ", width " << widths[i];
    }
  }
}

}  // namespace
}  // namespace hetmoe
