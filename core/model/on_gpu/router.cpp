#include "core/model/on_gpu/router.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/gpu/exclusive_sum.h"
#include "core/kernels/gpu/router.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {
namespace {

gpu::RoutedTokens routed_tokens(const GpuRouting& routing) {
  return {.tokens = routing.tokens(),
          .experts = routing.probabilities.size(1),
          .probability = mutable_data<float>(routing.probabilities),
          .mask = mutable_data<std::uint32_t>(routing.mask),
          .count = nullptr,
          .non_finite = mutable_data<std::int32_t>(routing.non_finite),
          .offset = mutable_data<std::int32_t>(routing.offset),
          .expert = mutable_data<std::int32_t>(routing.expert),
          .gate = mutable_data<float>(routing.gate)};
}

GpuRouting empty_routing(const at::Tensor& logits, const RouterConfig& config) {
  const std::int64_t tokens = logits.size(0);
  const std::int64_t experts = logits.size(1);
  const auto integers = logits.options().dtype(at::kInt);
  GpuRouting routing;
  routing.most_per_token =
      config.kind == RouterKind::kTopK ? std::min<std::int64_t>(config.top_k, experts) : experts;
  const std::int64_t room = tokens * routing.most_per_token;
  routing.probabilities = at::empty_like(logits);
  routing.mask = at::empty({tokens, gpu::mask_words(experts)}, integers);
  routing.non_finite = at::empty({tokens}, integers);
  routing.offset = at::empty({tokens + 1}, integers);
  routing.expert = at::empty({room}, integers);
  routing.gate = at::empty({room}, logits.options());
  return routing;
}

/// Top-K: every token has as many. Top-P: sums of what each has.
void list_offsets(const RouterConfig& config, const at::Tensor& count, GpuRouting& routing) {
  const std::int64_t tokens = routing.tokens();
  if (config.kind == RouterKind::kTopK) {
    routing.offset = at::arange(0, (tokens + 1) * routing.most_per_token, routing.most_per_token,
                                count.options());
    return;
  }
  const at::Tensor scratch = at::empty({gpu::exclusive_sum_scratch(tokens)}, count.options());
  gpu::exclusive_sum(data<std::int32_t>(count), tokens, mutable_data<std::int32_t>(routing.offset),
                     mutable_data<std::int32_t>(scratch), compute_stream());
}

/// c * E / T^2 of every expert: what global_selected is multiplied with (router.cpp).
std::vector<double> shared_factors(const AuxiliaryGradient& auxiliary) {
  const RouterConfig& config = auxiliary.config;
  const auto tokens = static_cast<double>(std::max<std::int64_t>(auxiliary.global_tokens, 1));
  const auto experts = static_cast<double>(auxiliary.relative_width.size());
  std::vector<double> factors;
  for (const double width : auxiliary.relative_width) {
    const double weight =
        config.load_balance +
        (config.penalty_form == PenaltyForm::kPaper ? config.parameter_penalty * width : 0.0);
    factors.push_back(weight / static_cast<double>(auxiliary.microbatches) * experts / tokens /
                      tokens);
  }
  return factors;
}

/// What a selection's gate adds to the released code's penalty; none in the paper's form.
std::vector<float> released_gates(const AuxiliaryGradient& auxiliary) {
  const RouterConfig& config = auxiliary.config;
  std::vector<float> gates;
  if (config.penalty_form != PenaltyForm::kReleasedCode) return gates;
  const auto tokens = static_cast<double>(std::max<std::int64_t>(auxiliary.global_tokens, 1));
  const auto experts = static_cast<double>(auxiliary.relative_width.size());
  for (const double width : auxiliary.relative_width) {
    gates.push_back(static_cast<float>(config.parameter_penalty /
                                       static_cast<double>(auxiliary.microbatches) * width /
                                       (tokens * config.top_k * experts)));
  }
  return gates;
}

}  // namespace

GpuRouting route(const at::Tensor& logits, const RouterConfig& config,
                 std::span<const std::int32_t> forced) {
  HETMOE_CHECK(logits.size(1) <= gpu::kMostExperts, logits.size(1), " experts on a GPU, at most ",
               gpu::kMostExperts);
  GpuRouting routing = empty_routing(logits, config);
  const at::Tensor count = at::empty({logits.size(0)}, routing.offset.options());
  const at::Tensor forced_there = forced.empty() ? at::Tensor() : uploaded(forced, at::kInt);
  gpu::RoutedTokens routed = routed_tokens(routing);
  routed.count = mutable_data<std::int32_t>(count);
  gpu::route_select(data<float>(logits),
                    {.kind = config.kind == RouterKind::kTopK ? gpu::SelectionRule::kTopK
                                                              : gpu::SelectionRule::kTopP,
                     .top_k = config.top_k,
                     .top_p = static_cast<float>(config.top_p),
                     .forced = forced_there.defined() ? data<std::int32_t>(forced_there) : nullptr},
                    routed, compute_stream());
  list_offsets(config, count, routing);
  routed = routed_tokens(routing);
  routed.count = mutable_data<std::int32_t>(count);
  gpu::route_list(routed, renormalizes(config), compute_stream());
  return routing;
}

void add_statistics(const GpuRouting& routing, const at::Tensor& relative_width,
                    const at::Tensor& statistics) {
  const gpu::RoutedTokens routed = routed_tokens(routing);
  const at::Tensor scratch = at::empty(
      {gpu::route_statistics_scratch_doubles(routed.tokens, routed.experts)}, statistics.options());
  gpu::route_statistics(routed, data<double>(relative_width), mutable_data<double>(statistics),
                        mutable_data<double>(scratch), compute_stream());
}

at::Tensor route_backward(const GpuRouting& routing, const at::Tensor& dgate,
                          const at::Tensor& dmass, const AuxiliaryGradient& auxiliary) {
  const std::int64_t experts = routing.probabilities.size(1);
  const std::vector<double> factors = shared_factors(auxiliary);
  const std::vector<float> released = released_gates(auxiliary);
  const at::Tensor factor = uploaded(std::span<const double>(factors), at::kDouble);
  const at::Tensor released_gate = uploaded(std::span<const float>(released), at::kFloat);
  at::Tensor shared = at::empty({experts}, dgate.options());
  gpu::shared_probability_gradient(data<double>(auxiliary.global_selected), data<double>(factor),
                                   mutable_data<float>(shared), experts, compute_stream());
  at::Tensor dlogits = at::empty_like(routing.probabilities);
  const double tokens = static_cast<double>(std::max<std::int64_t>(auxiliary.global_tokens, 1));
  gpu::route_backward(
      routed_tokens(routing),
      {.dgate = data<float>(dgate),
       .dmass = dmass.defined() ? data<float>(dmass) : nullptr,
       .shared = data<float>(shared),
       .released_gate = released.empty() ? nullptr : data<float>(released_gate),
       .entropy_factor = static_cast<float>(auxiliary.config.entropy /
                                            static_cast<double>(auxiliary.microbatches) / tokens),
       .renormalize = renormalizes(auxiliary.config)},
      mutable_data<float>(dlogits), compute_stream());
  return dlogits;
}

}  // namespace hetmoe::on_gpu
