#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/kernels/gpu/product_table.h"
#include "core/model/moe_layer.h"
#include "core/model/parameter_store.h"

namespace hetmoe::bench {

/// One mixture layer with all of its experts on one rank, with random weights and tokens.
class OneLayer {
 public:
  /// `config` is taken with one layer. Computes once, so that the rest is known. `products`: how a
  /// GPU multiplies.
  OneLayer(ModelConfig config, std::int64_t tokens, at::ScalarType type, at::Device device,
           const gpu::ProductTable& products = {});

  void forward();
  /// After a forward.
  void backward();

  /// Tokens that each expert was selected by, in the last forward. Waits for a GPU.
  std::vector<double> selected() const;
  /// Forward products of router and selected experts.
  double forward_flops() const;

 private:
  ModelConfig config_;
  std::int64_t tokens_;
  RouterStatistics statistics_;
  std::unique_ptr<ParameterStore> parameters_;
  std::unique_ptr<Mixture> mixture_;
  std::unique_ptr<MoeLayer> layer_;
  PassState pass_;
  at::Tensor x_, dy_, y_;
};

}  // namespace hetmoe::bench
