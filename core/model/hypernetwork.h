#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/kernels/generator_head.h"
#include "core/model/hyper_config.h"
#include "core/model/model_config.h"
#include "core/model/parameter_store.h"
#include "core/model/selected_sets.h"

namespace hetmoe {

/// HyperMoE's way from a set of experts to the code that the heads turn into weights:
///   s = sum of the embeddings v_j of the unselected experts;  z = P2 relu(P1 s + c1) + c2;
///   a = relu(L1 [z; m_layer] + b1).
/// It is small and its rounding would enter all generated weights, so it runs in fp32 (fp64).
/// Source: HyperMoE (arXiv 2402.12656), released code.
class Hypernetwork {
 public:
  /// The parameters' views stay valid as long as the store.
  Hypernetwork(const ModelConfig& config, const ParameterStore& parameters);

  /// The codes of some sets in one layer, and all that their backward pass needs.
  struct Encoded {
    int layer = 0;
    at::Tensor coefficients;  ///< [sets, E]
    at::Tensor selection;     ///< [sets, e]: s
    at::Tensor processed;     ///< [sets, p]: relu(P1 s + c1)
    at::Tensor input;         ///< [sets, q + l]
    at::Tensor code;          ///< [sets, h]: a, fp32 (fp64)
  };
  Encoded encode(int layer, const ExpertSets& sets) const;

  /// Begins or continues the gradients of everything that made the codes, from dcode [sets, h].
  void encode_backward(const at::Tensor& dcode, const Encoded& encoded);

  AdapterHeads& heads() { return heads_; }
  /// How to give the next part of their gradients.
  GradientSum next_heads_sum() const { return next_sum_of(head_parameters_); }

 private:
  struct Linear {
    Parameter weight, bias;
  };
  struct Layer {
    Parameter embedding;
    Linear process, project;
  };

  static Linear linear_of(const ParameterStore& parameters, const std::string& name);
  /// Makes its parameters known to next_heads_sum.
  GeneratorHead head_of(const ParameterStore& parameters, const std::string& name);
  at::Tensor apply(const Linear& linear, const at::Tensor& x) const;
  at::Tensor backward(Linear& linear, const at::Tensor& dy, const at::Tensor& x) const;

  HyperConfig config_;
  int num_experts_;
  at::ScalarType wide_;
  std::vector<Layer> layers_;
  Parameter layer_embedding_;
  Linear hidden_;
  std::vector<Parameter> head_parameters_;
  AdapterHeads heads_;
};

}  // namespace hetmoe
