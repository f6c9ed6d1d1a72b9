#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

#include "core/model/microbatch.h"
#include "core/model/model_config.h"
#include "core/model/parameter_store.h"
#include "core/model/routing.h"

namespace hetmoe {

/// What one layer's forward pass keeps for its backward pass.
class HyperContext {
 public:
  virtual ~HyperContext() = default;
};

/// The small expert beside every layer's mixture, added to its output. It runs on the token's own
/// rank, where the selected set is known, so it sends nothing and is balanced whatever the routing.
class HyperExpert {
 public:
  virtual ~HyperExpert() = default;

  struct Output {
    at::Tensor y;  ///< [T, D], compute type
    std::unique_ptr<HyperContext> context;
  };
  /// Shape: x [T, D], compute type; must stay as it is until backward. On a GPU: enqueued, the host
  /// does not wait; of `routing` the lists, which are the host's, and the probabilities are used.
  virtual Output forward(int layer, const at::Tensor& x, const Routing& routing,
                         PassState& pass) = 0;

  struct Gradient {
    at::Tensor dx;  ///< [T, D], compute type
    /// [T] fp64, on a GPU fp32: of the router's probability mass of the selected set; undefined:
    /// the router learns nothing from the small expert.
    at::Tensor dmass;
  };
  /// Adds to the parameters' gradients, or remembers what finish_gradients will add.
  virtual Gradient backward(int layer, const at::Tensor& dy, const at::Tensor& x,
                            const Routing& routing, HyperContext& context) = 0;

  /// After the last layer's backward pass of a step's last microbatch: from then on the gradients
  /// of all parameters are complete.
  virtual void finish_gradients() {}

  /// Values have changed, or are about to: drops what was made of the old ones.
  virtual void parameters_changed() {}
};

/// Waits until the hypernetwork's parameters are here, in the time of a pass.
using WaitForHypernetwork = std::function<void(PassState& pass)>;

/// The one that the configuration asks for, or none. `parameters` must outlive it.
std::unique_ptr<HyperExpert> make_hyper_expert(const ModelConfig& config,
                                               ParameterStore& parameters,
                                               WaitForHypernetwork wait);

}  // namespace hetmoe
