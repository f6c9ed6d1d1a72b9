#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "core/model/model_config.h"
#include "core/model/router_statistics.h"
#include "core/model/routing.h"

namespace hetmoe {

/// P = softmax(logits); Top-K takes the K largest; Top-P the smallest set whose sum, added in
/// descending order, reaches p, or all experts if it never does. Ties go to the lower expert.
/// Gates are P over the selected set, renormalised if the configuration says so.
/// A token with a non-finite logit goes to experts 0..K-1 with gate 0 and probability 0: it is
/// counted, and a NaN never becomes an index.
/// `forced`, unless empty, are the top_k experts of every token, ascending, in place of the most
/// probable ones; P and the gates stay those of the logits (0 where P vanishes on all of them).
/// Shape: logits [T, E], fp32 (fp64); forced [T * top_k]. Source: HMoE, appendix F.
Routing route(const at::Tensor& logits, const RouterConfig& config,
              std::span<const std::int32_t> forced = {});

/// Adds what the auxiliary losses need of these tokens to `layer`.
void add_statistics(const Routing& routing, std::span<const double> relative_width,
                    LayerStatistics layer);

/// Scale of the auxiliary losses in the gradient of one microbatch.
struct AuxiliaryGradient {
  RouterConfig config;
  std::span<const double> relative_width;   ///< h_i / mean(h), per expert
  std::span<const double> global_selected;  ///< tokens that selected expert i, over all ranks
  std::int64_t global_tokens = 0;
  std::int64_t microbatches = 1;
};

/// What of a routing has entered the layer's output.
struct RoutingGradient {
  std::span<const double> dgates;  ///< one per selection
  std::span<const double> dmass;   ///< [T], of the sum of P over the selected set; may be empty
};

/// Gradient of the logits [T, E] from those of the routing and from the auxiliary losses, whose M_i
/// carries no gradient.
at::Tensor route_backward(const Routing& routing, const RoutingGradient& gradient,
                          const AuxiliaryGradient& auxiliary);

/// Values of the auxiliary losses of one layer, unweighted, from statistics over the global
/// microbatch.
struct AuxiliaryLosses {
  double parameter_penalty = 0;
  double load_balance = 0;
  double router_entropy = 0;
};
AuxiliaryLosses auxiliary_losses(const RouterConfig& config, std::span<const double> relative_width,
                                 ConstLayerStatistics layer, std::int64_t global_tokens);

/// h_i / mean(h): the scale under which the penalty equals load balance at equal widths.
std::vector<double> relative_widths(std::span<const std::int64_t> widths);

}  // namespace hetmoe
