#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace hetmoe {

/// Zeros that nobody has written: on a host fresh pages of the kernel, taken when they are first
/// touched and given back with the tensor; huge ones where THP_MEM_ALLOC_ENABLE is 1 and the kernel
/// has them. For large buffers that live long: what is small, or on a GPU, is at::zeros.
at::Tensor zero_pages(std::int64_t elements, const at::TensorOptions& options);

}  // namespace hetmoe
