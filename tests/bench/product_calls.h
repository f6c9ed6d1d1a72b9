#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/kernels/gpu/grouped_products.h"
#include "runtime/run_config.h"

namespace hetmoe::bench {

struct ProductSize {
  std::int64_t rows, columns, depth;
};

/// One call of grouped products as a layer makes it, in bf16.
struct ProductCall {
  std::string name;  ///< "gate_up", "weights of down", ...
  gpu::ProductKind kind;
  std::vector<ProductSize> sizes;

  double flops() const;
};

/// The six calls of one layer, forward and backward, on a rank that holds `held` of its experts,
/// from the narrowest to the widest in even steps, and takes `tokens` tokens: unevenly, up to half
/// more and half less than the mean.
std::vector<ProductCall> calls_of_layer(const ModelConfig& model, std::int64_t tokens, int held);

/// One dense product of the mean columns and depth with so many rows that it has the FLOPs.
ProductCall dense_call_like(const ProductCall& call);

}  // namespace hetmoe::bench
