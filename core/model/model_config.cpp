#include "core/model/model_config.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "core/base/error.h"

namespace hetmoe {
namespace {

/// The wanted widths relative to each other, ascending.
std::vector<double> weights_of(const ExpertsConfig& experts) {
  const int count = experts.count;
  std::vector<double> weights(static_cast<std::size_t>(count), 1.0);
  for (int i = 0; i < count; ++i) {
    double& weight = weights[static_cast<std::size_t>(i)];
    switch (experts.shape) {
      case WidthShape::kArithmetic:
        if (count > 1) weight += (experts.ratio - 1) * i / (count - 1);
        break;
      case WidthShape::kGeometric:
        weight = std::ldexp(1.0, i);
        break;
      case WidthShape::kHybrid:
        weight = i >= count - count / 4 ? 4 : i >= count - 2 * (count / 4) ? 2 : 1;
        break;
      case WidthShape::kHomogeneous:
        break;
    }
  }
  return weights;
}

/// Whole multiples of `unit` in proportion to the weights that sum to `sum` exactly: rounded down,
/// then one unit more for the largest remainders (of equal ones the later, to stay ascending).
std::vector<std::int64_t> apportion(const std::vector<double>& weights, std::int64_t sum,
                                    std::int64_t unit) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  const double units = static_cast<double>(sum / unit);
  std::vector<std::int64_t> widths;
  std::vector<double> remainders;
  std::int64_t missing = sum / unit;
  for (const double weight : weights) {
    const double ideal = units * (weight / total);
    const double whole = std::floor(ideal + 1e-9);
    widths.push_back(static_cast<std::int64_t>(whole) * unit);
    remainders.push_back(ideal - whole);
    missing -= static_cast<std::int64_t>(whole);
  }
  std::vector<std::size_t> order(weights.size());
  std::iota(order.rbegin(), order.rend(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return remainders[a] > remainders[b] + 1e-9;
  });
  for (std::size_t i = 0; missing > 0; ++i, --missing) widths[order[i % order.size()]] += unit;
  return widths;
}

[[noreturn]] void fail_no_hidden_unit(const ExpertsConfig& experts) {
  throw ConfigError("model.experts: mean_width " + std::to_string(experts.mean_width) +
                    " gives the smallest of " + std::to_string(experts.count) +
                    " experts no hidden unit, allowed: a larger mean_width or a flatter shape");
}

}  // namespace

std::vector<std::string> enum_words(WidthShape) {
  return {"arithmetic", "geometric", "hybrid", "homogeneous"};
}
std::vector<std::string> enum_words(RouterKind) { return {"top_k", "top_p"}; }
std::vector<std::string> enum_words(Renormalize) { return {"auto", "true", "false"}; }
std::vector<std::string> enum_words(PenaltyForm) { return {"paper", "released_code"}; }
std::vector<std::string> enum_words(HyperKind) {
  return {"generated", "shared_adapter", "expert_adapters"};
}
std::vector<std::string> enum_words(Conditioning) { return {"unselected", "selected"}; }
std::vector<std::string> enum_words(Aggregate) { return {"sum", "mean", "centred"}; }

std::vector<std::int64_t> expert_widths(const ExpertsConfig& experts) {
  if (!experts.widths.empty()) return experts.widths;
  if (experts.count < 1 || experts.mean_width < 1 || !(experts.ratio >= 1)) {
    throw ConfigError("model.experts: count, mean_width or ratio below 1, allowed: >= 1");
  }
  const std::int64_t sum = experts.count * experts.mean_width;
  const std::vector<double> weights = weights_of(experts);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  const double smallest = static_cast<double>(sum) * (weights.front() / total);
  if (!(smallest >= 0.5)) fail_no_hidden_unit(experts);  // also what is too steep for a double
  const bool is_equal = weights.front() == weights.back();
  const bool is_eights = !is_equal && experts.mean_width >= 64 && sum % 8 == 0 && smallest >= 8;
  const auto widths = apportion(weights, sum, is_eights ? 8 : 1);
  if (*std::min_element(widths.begin(), widths.end()) < 1) fail_no_hidden_unit(experts);
  return widths;
}

std::int64_t head_dim(const ModelConfig& model) {
  return model.head_dim != 0 ? model.head_dim : model.hidden_size / model.num_heads;
}

bool renormalizes(const RouterConfig& router) {
  if (router.renormalize != Renormalize::kAuto) return router.renormalize == Renormalize::kTrue;
  return router.kind == RouterKind::kTopP || router.top_k > 1;
}

}  // namespace hetmoe
