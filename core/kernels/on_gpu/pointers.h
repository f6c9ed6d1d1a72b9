// For the files of this folder: tensors of a GPU as its kernels take them.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "core/base/check.h"
#include "core/gpu/bfloat16_bits.h"

namespace hetmoe::on_gpu {

/// Calls body(T()) for the element type that kernels have: float or gpu::BFloat16Bits.
template <typename Body>
decltype(auto) with_element(const at::Tensor& tensor, Body&& body) {
  const at::ScalarType type = tensor.scalar_type();
  HETMOE_CHECK(type == at::kFloat || type == at::kBFloat16, "a GPU computes in fp32 and bf16");
  return type == at::kFloat ? body(float()) : body(gpu::BFloat16Bits());
}

template <typename T>
const T* data(const at::Tensor& tensor) {
  HETMOE_CHECK(!tensor.is_cpu() && tensor.is_contiguous(), "not a contiguous tensor of the GPU");
  HETMOE_CHECK(sizeof(T) == tensor.element_size(), "elements of ", tensor.element_size(), " bytes");
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <typename T>
T* mutable_data(const at::Tensor& tensor) {
  return const_cast<T*>(data<T>(tensor));
}

}  // namespace hetmoe::on_gpu
