#pragma once

#include <cstdint>

#include "core/gpu/bfloat16_bits.h"
#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// Cross entropy of rows of logits. All pointers are the device's. Softmax in fp32, over a row read
/// once for the loss and once more for the gradient. T: float or BFloat16Bits.
/// Shape: logits [rows, columns]; targets [rows] in [0, columns); loss [rows], nats.

/// loss = log(sum(exp(logits))) - logits[target].
template <typename T>
void cross_entropy(const T* logits, const std::int32_t* targets, float* loss, std::int64_t rows,
                   std::int64_t columns, Stream stream);

/// The same; logits become gradient_scale * (softmax - one hot).
template <typename T>
void cross_entropy_with_gradient(T* logits, const std::int32_t* targets, float gradient_scale,
                                 float* loss, std::int64_t rows, std::int64_t columns,
                                 Stream stream);

}  // namespace hetmoe::gpu
