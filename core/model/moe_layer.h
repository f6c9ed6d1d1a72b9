#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/model/hyper_expert.h"
#include "core/model/microbatch.h"
#include "core/model/model_config.h"
#include "core/model/parameter_store.h"
#include "core/model/token_dispatcher.h"

namespace hetmoe {

/// What a layer's forward pass keeps for its backward pass, beside its input.
class MoeContext {
 public:
  virtual ~MoeContext() = default;
};

/// The mixture of unequal experts of one layer: route, dispatch, experts, combine; and the small
/// expert of HyperMoE, computed while tokens and gradients are on their way.
class MoeLayer {
 public:
  virtual ~MoeLayer() = default;

  /// Shape: x [T, D] -> [T, D]. Differentiable in x; gradients of the router's and the slices'
  /// weights are added to the store. The auxiliary losses enter through the router's gradient:
  /// between forward and backward pass.statistics must be summed over ranks.
  /// Collective: all ranks of the expert group, in forward and in backward.
  at::Tensor forward(const at::Tensor& x, PassState& pass);

  /// The same in two halves, without autograd: whoever calls them has x again in backward, the same
  /// bits, and `pass` still. Routing and what was dispatched are in the context.
  struct Output {
    at::Tensor y;
    std::unique_ptr<MoeContext> context;
  };
  virtual Output forward_and_keep(const at::Tensor& x, PassState& pass) = 0;
  /// Gives dx [T, D]. Once per context.
  virtual at::Tensor backward(const at::Tensor& dy, const at::Tensor& x, MoeContext& context) = 0;
};

/// What a layer is made of besides its mixture; all of it must outlive the layer.
struct MoeLayerParts {
  ParameterStore& parameters;
  HyperExpert* hyper = nullptr;  ///< of all layers; none: the mixture alone
};

/// What computes experts and moves tokens, on hosts or on GPUs.
class Mixture {
 public:
  virtual ~Mixture() = default;

  /// The mixture must outlive the layer.
  virtual std::unique_ptr<MoeLayer> make_layer(const ModelConfig& config, int layer,
                                               const MoeLayerParts& parts) = 0;

  /// By this rank since the start, forward and backward.
  virtual ExchangedBytes bytes_sent() const = 0;
};

}  // namespace hetmoe
