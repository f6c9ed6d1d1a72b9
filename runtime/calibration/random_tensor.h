#pragma once

#include <ATen/core/Tensor.h>

namespace hetmoe {

/// Normal values with mean 0 and this deviation; large tensors repeat them. Products of zeros could
/// run faster than real ones.
at::Tensor random_tensor(at::IntArrayRef shape, double deviation, at::ScalarType type);

}  // namespace hetmoe
