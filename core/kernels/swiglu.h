#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace hetmoe {

/// hidden = gate * silu(g) * u in one pass. Shape: gate_up [n, 2 w] (g, then u), gates [n];
/// gives [n, w]. Arithmetic in fp32 (fp64).
void swiglu_forward(const at::Tensor& gate_up, std::span<const double> gates, at::Tensor& hidden);

/// All that the backward pass of a slice needs from its hidden layer, in one pass.
/// In: gate_up [n, 2 w] and dhidden = z = dy Wd^T [n, w], gates [n].
/// Out: gate_up becomes its own gradient; dhidden becomes gate * silu(g) * u (for the gradient of
/// down); dgates[i] = sum over hidden units of silu(g) * u * z.
void swiglu_backward(at::Tensor& gate_up, at::Tensor& dhidden, std::span<const double> gates,
                     std::span<double> dgates);

}  // namespace hetmoe
