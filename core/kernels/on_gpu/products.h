// For the files of this folder: parts of tensors as grouped products take them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/kernels/gpu/grouped_products.h"

namespace hetmoe::on_gpu {

/// A matrix within a tensor: rows of `columns` elements one after another.
struct Part {
  const void* begin;
  std::int64_t columns;
};

/// From the element-th of the tensor's elements on.
inline Part part_at(const at::Tensor& tensor, std::int64_t element, std::int64_t columns) {
  HETMOE_CHECK(!tensor.is_cpu() && tensor.is_contiguous(), "not a contiguous tensor of the GPU");
  const auto* begin = static_cast<const std::byte*>(tensor.const_data_ptr());
  return {begin + element * static_cast<std::int64_t>(tensor.element_size()), columns};
}

/// Rows of a matrix [R, C] from `row` on.
inline Part part_from_row(const at::Tensor& matrix, std::int64_t row) {
  return part_at(matrix, row * matrix.size(1), matrix.size(1));
}

/// One matrix of a stack [G, R, C].
inline Part part_of_stack(const at::Tensor& stack, std::int64_t matrix) {
  return part_at(stack, matrix * stack.size(1) * stack.size(2), stack.size(2));
}

/// c [rows, columns], which is written, from a and b.
inline gpu::Product product(Part a, Part b, Part c, std::int64_t rows, std::int64_t columns,
                            std::int64_t depth) {
  return {.a = a.begin,
          .b = b.begin,
          .c = const_cast<void*>(c.begin),
          .rows = rows,
          .columns = columns,
          .depth = depth,
          .a_stride = a.columns,
          .b_stride = b.columns,
          .c_stride = c.columns};
}

inline gpu::Number number_of(const at::Tensor& tensor) {
  const at::ScalarType type = tensor.scalar_type();
  HETMOE_CHECK(type == at::kFloat || type == at::kBFloat16, "a GPU computes in fp32 and bf16");
  return type == at::kFloat ? gpu::Number::kFloat32 : gpu::Number::kBFloat16;
}

}  // namespace hetmoe::on_gpu
