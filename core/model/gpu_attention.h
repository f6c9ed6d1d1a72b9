#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/attention.h"
#include "core/model/microbatch.h"

namespace hetmoe {

/// `attention` of functions.h for tensors of a GPU: our rotation, LibTorch's fused attention.
at::Tensor attention_on_gpu(const at::Tensor& qkv, const AttentionShape& shape,
                            const GpuPass& pass);

/// What is added to scores so that positions attend to none before their document; undefined where
/// all may attend to all before them, which attention does faster without. One for all layers.
/// Shape: GpuPass::attention_mask.
at::Tensor make_attention_mask(const Microbatch& microbatch, at::ScalarType type);

}  // namespace hetmoe
