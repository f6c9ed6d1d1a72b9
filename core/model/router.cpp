#include "core/model/router.h"

#include <ATen/Dispatch.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// Softmax of one row into p; false if a logit is not finite.
template <typename A>
bool softmax(const A* logits, A* p, std::int64_t experts) {
  A peak = logits[0];
  for (std::int64_t i = 0; i < experts; ++i) {
    if (!std::isfinite(logits[i])) return false;
    peak = std::max(peak, logits[i]);
  }
  A sum = 0;
  for (std::int64_t i = 0; i < experts; ++i) sum += p[i] = std::exp(logits[i] - peak);
  for (std::int64_t i = 0; i < experts; ++i) p[i] /= sum;
  return true;
}

/// How many of the experts in `order` (descending P) are selected.
template <typename A>
std::int64_t selected_count(const A* p, std::span<const std::int32_t> order,
                            const RouterConfig& config) {
  const auto experts = static_cast<std::int64_t>(order.size());
  if (config.kind == RouterKind::kTopK) return std::min<std::int64_t>(config.top_k, experts);
  float sum = 0;  // fp32 in this order, on every rank and for every type
  for (std::int64_t i = 0; i < experts; ++i) {
    sum += static_cast<float>(p[order[i]]);
    if (sum >= static_cast<float>(config.top_p)) return i + 1;
  }
  return experts;
}

class Selection {
 public:
  Selection(std::int64_t experts, const RouterConfig& config)
      : config_(config), renormalize_(renormalizes(config)), order_(experts) {}

  /// `forced`: the experts to take, or empty.
  template <typename A>
  void append(const A* p, bool finite, std::span<const std::int32_t> forced, Routing& routing) {
    std::iota(order_.begin(), order_.end(), 0);
    std::int64_t count = std::min<std::int64_t>(config_.top_k, order_.size());
    if (finite && !forced.empty()) {
      std::copy(forced.begin(), forced.end(), order_.begin());
    } else if (finite) {
      std::sort(order_.begin(), order_.end(), [p](std::int32_t a, std::int32_t b) {
        return p[a] > p[b] || (p[a] == p[b] && a < b);
      });
      count = selected_count(p, std::span<const std::int32_t>(order_), config_);
      std::sort(order_.begin(), order_.begin() + count);
    }
    A sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += p[order_[i]];
    const A divisor = renormalize_ && sum > 0 ? sum : A(1);
    for (std::int64_t i = 0; i < count; ++i) {
      routing.expert.push_back(order_[i]);
      routing.gate.push_back(finite ? p[order_[i]] / divisor : 0.0);
    }
    routing.offset.push_back(static_cast<std::int64_t>(routing.expert.size()));
    if (!finite) ++routing.non_finite_tokens;
  }

 private:
  const RouterConfig& config_;
  bool renormalize_;
  std::vector<std::int32_t> order_;
};

double penalty_factor(double weight, const AuxiliaryGradient& auxiliary) {
  return weight / static_cast<double>(auxiliary.microbatches);
}

/// Gradient of P_i that all tokens share: c * E * M_i / T, for both balance terms.
std::vector<double> shared_probability_gradient(const AuxiliaryGradient& auxiliary,
                                                std::int64_t experts) {
  const RouterConfig& config = auxiliary.config;
  const double tokens = static_cast<double>(std::max<std::int64_t>(auxiliary.global_tokens, 1));
  std::vector<double> gradient(experts, 0.0);
  for (std::int64_t i = 0; i < experts; ++i) {
    double weight = config.load_balance;
    if (config.penalty_form == PenaltyForm::kPaper) {
      weight += config.parameter_penalty * auxiliary.relative_width[i];
    }
    gradient[i] = penalty_factor(weight, auxiliary) * static_cast<double>(experts) *
                  auxiliary.global_selected[i] / tokens / tokens;
  }
  return gradient;
}

/// What one selection's gate adds to the released code's penalty: h / (T k sum(h)).
double released_gate_gradient(const AuxiliaryGradient& auxiliary, std::int32_t expert,
                              std::int64_t experts) {
  if (auxiliary.config.penalty_form != PenaltyForm::kReleasedCode) return 0;
  const double tokens = static_cast<double>(std::max<std::int64_t>(auxiliary.global_tokens, 1));
  return penalty_factor(auxiliary.config.parameter_penalty, auxiliary) *
         auxiliary.relative_width[expert] /
         (tokens * auxiliary.config.top_k * static_cast<double>(experts));
}

}  // namespace

Routing route(const at::Tensor& logits, const RouterConfig& config,
              std::span<const std::int32_t> forced) {
  HETMOE_CHECK(logits.dim() == 2 && logits.is_contiguous(), "logits have ", logits.dim(),
               " dimensions");
  const std::int64_t tokens = logits.size(0);
  const std::int64_t experts = logits.size(1);
  const std::size_t forced_each = forced.empty() ? 0 : config.top_k;
  HETMOE_CHECK(forced.size() == forced_each * tokens, forced.size(), " forced experts of ", tokens,
               " tokens");
  Routing routing;
  routing.probabilities = at::empty_like(logits);
  routing.offset.reserve(tokens + 1);
  routing.offset.push_back(0);
  routing.expert.reserve(tokens * config.top_k);
  routing.gate.reserve(tokens * config.top_k);
  Selection selection(experts, config);
  AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "route", [&] {
    const auto* in = logits.const_data_ptr<scalar_t>();
    auto* p = routing.probabilities.mutable_data_ptr<scalar_t>();
    for (std::int64_t t = 0; t < tokens; ++t, in += experts, p += experts) {
      const bool finite = softmax(in, p, experts);
      if (!finite) std::fill_n(p, experts, scalar_t(0));
      selection.append(p, finite, forced.subspan(t * forced_each, forced_each), routing);
    }
  });
  return routing;
}

void add_statistics(const Routing& routing, std::span<const double> relative_width,
                    LayerStatistics layer) {
  const std::int64_t experts = routing.probabilities.size(1);
  for (std::size_t s = 0; s < routing.expert.size(); ++s) {
    layer.selected[routing.expert[s]] += 1;
    *layer.released_penalty += routing.gate[s] * relative_width[routing.expert[s]];
  }
  AT_DISPATCH_FLOATING_TYPES(routing.probabilities.scalar_type(), "add_statistics", [&] {
    const auto* p = routing.probabilities.const_data_ptr<scalar_t>();
    for (std::int64_t t = 0; t < routing.tokens(); ++t, p += experts) {
      for (std::int64_t i = 0; i < experts; ++i) {
        layer.probability[i] += p[i];
        if (p[i] > 0) *layer.entropy -= p[i] * std::log(p[i]);
      }
    }
  });
  *layer.non_finite += static_cast<double>(routing.non_finite_tokens);
}

at::Tensor route_backward(const Routing& routing, const RoutingGradient& gradient,
                          const AuxiliaryGradient& auxiliary) {
  const std::int64_t experts = routing.probabilities.size(1);
  const bool renormalize = renormalizes(auxiliary.config);
  const auto shared = shared_probability_gradient(auxiliary, experts);
  const double entropy_factor =
      penalty_factor(auxiliary.config.entropy, auxiliary) /
      static_cast<double>(std::max<std::int64_t>(auxiliary.global_tokens, 1));
  at::Tensor dlogits = at::empty_like(routing.probabilities);
  std::vector<double> dp(experts);
  AT_DISPATCH_FLOATING_TYPES(dlogits.scalar_type(), "route_backward", [&] {
    const auto* p = routing.probabilities.const_data_ptr<scalar_t>();
    auto* out = dlogits.mutable_data_ptr<scalar_t>();
    for (std::int64_t t = 0; t < routing.tokens(); ++t, p += experts, out += experts) {
      dp = shared;
      if (entropy_factor != 0) {
        for (std::int64_t i = 0; i < experts; ++i) {
          if (p[i] > 0) dp[i] -= entropy_factor * (std::log(static_cast<double>(p[i])) + 1.0);
        }
      }
      // g_i = P_i / sum P: dP_i = (dg_i - sum_j dg_j g_j) / sum P.
      double sum = 0;
      double projection = 0;
      const auto dgate = [&](std::int64_t s) {
        return gradient.dgates[s] + released_gate_gradient(auxiliary, routing.expert[s], experts);
      };
      for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
        sum += p[routing.expert[s]];
        projection += dgate(s) * routing.gate[s];
      }
      for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
        if (!renormalize) {
          dp[routing.expert[s]] += dgate(s);
        } else if (sum > 0) {
          dp[routing.expert[s]] += (dgate(s) - projection) / sum;
        }
        if (!gradient.dmass.empty()) dp[routing.expert[s]] += gradient.dmass[t];
      }
      double dot = 0;
      for (std::int64_t i = 0; i < experts; ++i) dot += dp[i] * p[i];
      for (std::int64_t i = 0; i < experts; ++i) {
        out[i] = static_cast<scalar_t>(p[i] * (dp[i] - dot));
      }
    }
  });
  return dlogits;
}

AuxiliaryLosses auxiliary_losses(const RouterConfig& config, std::span<const double> relative_width,
                                 ConstLayerStatistics layer, std::int64_t global_tokens) {
  const double tokens = static_cast<double>(std::max<std::int64_t>(global_tokens, 1));
  const double experts = static_cast<double>(layer.selected.size());
  AuxiliaryLosses losses;
  for (std::size_t i = 0; i < layer.selected.size(); ++i) {
    const double term = experts * (layer.selected[i] / tokens) * (layer.probability[i] / tokens);
    losses.load_balance += term;
    losses.parameter_penalty += term * relative_width[i];
  }
  if (config.penalty_form == PenaltyForm::kReleasedCode) {
    losses.parameter_penalty = *layer.released_penalty / (tokens * config.top_k * experts);
  }
  losses.router_entropy = *layer.entropy / tokens;
  return losses;
}

std::vector<double> relative_widths(std::span<const std::int64_t> widths) {
  double mean = 0;
  for (std::int64_t width : widths) mean += static_cast<double>(width);
  mean /= static_cast<double>(widths.size());
  std::vector<double> relative;
  for (std::int64_t width : widths) relative.push_back(static_cast<double>(width) / mean);
  return relative;
}

}  // namespace hetmoe
