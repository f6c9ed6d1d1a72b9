#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/kernels/expert_kernels.h"

namespace hetmoe {

/// Normal values with mean 0 and this deviation; large tensors repeat them. Products of zeros could
/// run faster than real ones. `place`: type and device.
at::Tensor random_tensor(at::IntArrayRef shape, double deviation, const at::TensorOptions& place);

/// So many slices of one width with random weights and no gradients yet.
std::vector<SliceWeights> random_slices(const at::TensorOptions& place, std::int64_t hidden_size,
                                        std::int64_t width, std::int64_t count);

}  // namespace hetmoe
