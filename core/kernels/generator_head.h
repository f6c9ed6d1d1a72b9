#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/adapter.h"

namespace hetmoe {

/// A linear layer with bias that makes very many values from a short code: few rows, N outputs.
struct GeneratorHead {
  at::Tensor weight;           ///< [N, h], compute type
  at::Tensor bias;             ///< [N]
  at::Tensor weight_gradient;  ///< [N, h], fp32 (fp64 for fp64)
  at::Tensor bias_gradient;    ///< [N]
};

/// The heads that make adapters of D features and r units. Flat index of the weights: that of down
/// is feature * r + unit, that of up is unit * D + feature.
struct AdapterHeads {
  GeneratorHead down, up, down_bias, up_bias;

  std::int64_t rank() const { return down_bias.bias.numel(); }
  std::int64_t hidden_size() const { return up_bias.bias.numel(); }
};

/// code weight^T + bias. Shape: code [R, h] -> [R, N], compute type.
at::Tensor generator_head_forward(const at::Tensor& code, const GeneratorHead& head);

/// Gives dcode [R, h]; begins or continues the head's gradients. Shape: dout [R, N]; dout and dcode
/// fp32 (fp64 for fp64). bf16: products of values rounded to bf16, sums in fp32 in a fixed order.
at::Tensor generator_head_backward(const at::Tensor& dout, const at::Tensor& code,
                                   GeneratorHead& head, GradientSum sum = GradientSum::kContinue);

/// Begins the gradients of a head with no rows.
void begin_with_zeros(GeneratorHead& head);

/// One adapter per row of code [R, h], compute type.
Adapters generate_adapters(const at::Tensor& code, const AdapterHeads& heads);

/// Gives dcode [R, h], fp32 (fp64), from the gradients of what was generated.
at::Tensor generate_adapters_backward(const Adapters& gradients, const at::Tensor& code,
                                      AdapterHeads& heads,
                                      GradientSum sum = GradientSum::kContinue);

}  // namespace hetmoe
