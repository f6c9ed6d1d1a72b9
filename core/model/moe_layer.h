#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/model/hyper_expert.h"
#include "core/model/microbatch.h"
#include "core/model/model_config.h"
#include "core/model/parameter_store.h"
#include "core/model/token_dispatcher.h"

namespace hetmoe {

/// The mixture of unequal experts of one layer: route, dispatch, experts, combine; and the small
/// expert of HyperMoE, computed while tokens and gradients are on their way.
class MoeLayer {
 public:
  virtual ~MoeLayer() = default;

  /// Shape: x [T, D] -> [T, D]. Differentiable in x; gradients of the router's and the slices'
  /// weights are added to the store. The auxiliary losses enter through the router's gradient:
  /// between forward and backward pass.statistics must be summed over ranks.
  /// Collective: all ranks of the expert group, in forward and in backward.
  virtual at::Tensor forward(const at::Tensor& x, PassState& pass) = 0;
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
