#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "core/optim/adamw.h"
#include "core/tensor/deferred.h"

namespace hetmoe {

/// AdamWPiece as tensors, of the host or of a GPU; copy undefined where the master is the copy.
struct AdamWTensors {
  at::Tensor master, gradient, exp_avg, exp_avg_sq;  ///< fp32, contiguous, equally long
  at::Tensor copy;                                   ///< bf16
  bool decays = false;
};

/// Pieces of one kind that lie one behind another in all their memory, as one: a layer's slices are
/// hundreds of tensors otherwise.
std::vector<AdamWTensors> joined(std::span<const AdamWTensors> pieces);

/// One AdamW update of all pieces (adamw.h), best joined. On a CPU nothing is allocated. On a GPU
/// LibTorch's fused one, which leaves clipped gradients behind; the host does not wait.
void adamw_update(std::span<const AdamWTensors> pieces, const AdamWStep& step);

/// Sum of squares of all of them in fp64, in a fixed order; non-finite if a value is.
Deferred sum_of_squares(std::span<const at::Tensor> values);

}  // namespace hetmoe
