#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/model/microbatch.h"
#include "core/model/model_config.h"
#include "core/model/parameter_store.h"
#include "core/model/token_dispatcher.h"

namespace hetmoe {

/// The mixture of unequal experts of one layer: route, dispatch, experts, combine.
class MoeLayer {
 public:
  /// All references must outlive the layer.
  MoeLayer(const ModelConfig& config, int layer, ParameterStore& parameters, ExpertKernels& kernels,
           TokenDispatcher& dispatcher, const Clock& clock);

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
  at::Tensor router_backward(std::span<const double> dgates, Saved& saved);
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
};

}  // namespace hetmoe
