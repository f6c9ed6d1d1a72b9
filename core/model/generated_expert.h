#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/kernels/adapter.h"
#include "core/model/hyper_expert.h"
#include "core/model/hypernetwork.h"
#include "core/model/selected_sets.h"

namespace hetmoe {

/// HyperMoE's small expert, generated from the experts that were not selected. Its weights depend
/// on a token through the selected set only, so they are made once per set and never per token, in
/// one of three ways that differ in cost and not in result:
///  - all sets of all layers at once, kept until the parameters change, their gradients summed over
///    microbatches and taken back through the hypernetwork once per step: Top-K where half this
///    rank's tokens of a step outnumber the sets and the weights are within the memory limit;
///  - the sets that occur, layer by layer and microbatch by microbatch;
///  - factorised, without making weights: where more sets occur than half the tokens, or their
///    weights would be beyond the limit.
/// The choice is a rank's own: it sends nothing, and ranks may differ in it.
class GeneratedExpert final : public HyperExpert {
 public:
  GeneratedExpert(const ModelConfig& config, ParameterStore& parameters, WaitForHypernetwork wait);

  Output forward(int layer, const at::Tensor& x, const Routing& routing, PassState& pass) override;
  Gradient backward(int layer, const at::Tensor& dy, const at::Tensor& x, const Routing& routing,
                    HyperContext& context) override;
  void finish_gradients() override;
  void parameters_changed() override { all_sets_.reset(); }

 private:
  struct Context;
  /// The weights of all sets of all layers, layer after layer, and the sum of their gradients.
  struct AllSets {
    std::vector<Hypernetwork::Encoded> layers;
    at::Tensor code;  ///< [layers * sets, h], compute type
    Adapters weights;
    Adapters gradients;               ///< undefined before the first backward pass
    std::vector<bool> has_gradients;  ///< [layers]
  };

  bool takes_all_sets(const Microbatch& microbatch) const;
  bool within_limit(std::int64_t sets) const;
  Adapters weights_of_all_sets(int layer, PassState& pass);
  AdapterForward forward_of_occurring_sets(int layer, const at::Tensor& x, const Routing& routing,
                                           Context& context, PassState& pass);
  at::Tensor add_gradients(int layer, const at::Tensor& dy, const at::Tensor& x, Context& context);

  ModelConfig config_;
  Hypernetwork hypernetwork_;
  WaitForHypernetwork wait_;
  at::ScalarType type_;
  std::unique_ptr<gpu::GroupedProducts> products_;
  std::int64_t sets_ = 0;  ///< C(E, K) with Top-K, else 0
  std::optional<AllSets> all_sets_;
};

}  // namespace hetmoe
