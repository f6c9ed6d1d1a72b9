#pragma once

#include <vector>

#include "core/kernels/adapter.h"
#include "core/model/hyper_expert.h"

namespace hetmoe {

/// What generated experts must be compared with: ReLU adapters of the same rank with weights of
/// their own, one per layer for all tokens, or one per expert, the selected ones summed, ungated.
class FreeAdapters final : public HyperExpert {
 public:
  FreeAdapters(const ModelConfig& config, const ParameterStore& parameters);

  Output forward(int layer, const at::Tensor& x, const Routing& routing, PassState& pass) override;
  Gradient backward(int layer, const at::Tensor& dy, const at::Tensor& x, const Routing& routing,
                    HyperContext& context) override;

 private:
  struct Context;
  struct Layer {
    Adapters values, gradients;
    std::vector<Parameter> parameters;  ///< of which these are views
  };

  std::vector<TokenGroups> passes(const Routing& routing) const;

  std::int64_t adapters_;
  std::unique_ptr<gpu::GroupedProducts> products_;
  std::vector<Layer> layers_;
};

}  // namespace hetmoe
