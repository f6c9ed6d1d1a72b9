#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "core/model/microbatch.h"
#include "core/model/moe_layer.h"

namespace hetmoe {

/// What of a block comes before its mixture.
struct BeforeExperts {
  at::Tensor h;  ///< [T, D]: what the mixture's output is added to
  at::Tensor x;  ///< [T, D]: what the mixture gets
};
/// From the block's input [T, D]. Differentiable; called again it must give the same bits.
using ComputeBeforeExperts = std::function<BeforeExperts(const at::Tensor& input)>;

/// A block's output [T, D]: before.h plus the mixture of before.x. Of all this only the input and
/// what the mixture keeps (MoeContext) live until the backward pass, which calls `before` again.
/// `experts` and `pass` must outlive the backward pass. Collective like MoeLayer::forward.
at::Tensor recomputed_block(const at::Tensor& input, ComputeBeforeExperts before, MoeLayer& experts,
                            PassState& pass);

}  // namespace hetmoe
