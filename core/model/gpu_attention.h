#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/attention.h"
#include "core/model/microbatch.h"

namespace hetmoe {

/// `attention` of functions.h for tensors of a GPU: our rotation, LibTorch's fused attention.
at::Tensor attention_on_gpu(const at::Tensor& qkv, const AttentionShape& shape,
                            const GpuPass& pass);

/// Which positions may attend to which, from the first position that each may; undefined where all
/// is causal. Shape: GpuPass::attention_mask.
at::Tensor make_attention_mask(const Microbatch& microbatch);

}  // namespace hetmoe
