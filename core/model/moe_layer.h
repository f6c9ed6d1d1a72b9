#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/model/hyper_expert.h"
#include "core/model/microbatch.h"
#include "core/model/model_config.h"
#include "core/model/parameter_store.h"
#include "core/model/token_dispatcher.h"

namespace hetmoe {

/// What a layer is made of; all of it must outlive the layer.
struct MoeLayerParts {
  ParameterStore& parameters;
  ExpertKernels& kernels;
  TokenDispatcher& dispatcher;
  const Clock& clock;
  HyperExpert* hyper = nullptr;  ///< of all layers; none: the mixture alone
};

/// The mixture of unequal experts of one layer: route, dispatch, experts, combine; and the small
/// expert of HyperMoE, computed while tokens and gradients are on their way.
class MoeLayer {
 public:
  MoeLayer(const ModelConfig& config, int layer, const MoeLayerParts& parts);

  /// Shape: x [T, D] -> [T, D]. Differentiable in x; gradients of the router's and the slices'
  /// weights are added to the store. The auxiliary losses enter through the router's gradient:
  /// between forward and backward pass.statistics must be summed over ranks.
  /// Collective: all ranks of the expert group, in forward and in backward.
  at::Tensor forward(const at::Tensor& x, PassState& pass);

 private:
  struct Saved;
  struct Autograd;

  at::Tensor forward_and_save(const at::Tensor& x, PassState& pass, Saved& saved);
  std::vector<std::int32_t> forced_experts(const PassState& pass) const;
  at::Tensor backward(const at::Tensor& dy, Saved& saved);
  at::Tensor router_backward(std::span<const double> dgates, std::span<const double> dmass,
                             Saved& saved);
  double token_units(const ReceivedTokens& received) const;
  std::vector<SliceRows> rows_of_slices(const ReceivedTokens& received) const;

  RouterConfig router_config_;
  int layer_;
  std::vector<double> relative_width_;
  Parameter router_;
  ParameterStore& parameters_;
  ExpertKernels& kernels_;
  TokenDispatcher& dispatcher_;
  const Clock& clock_;
  HyperExpert* hyper_;
};

}  // namespace hetmoe
