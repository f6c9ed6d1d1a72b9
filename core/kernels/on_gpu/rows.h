// For files that compute on a GPU: gpu/rows.h for tensors.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstdint>

#include "core/kernels/gpu/rows.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {

/// [rows, D]: x[row[i]], the first `rows` of them. row int32.
inline at::Tensor gathered(const at::Tensor& x, const at::Tensor& row, std::int64_t rows) {
  HETMOE_CHECK(rows <= row.size(0), rows, " rows of a list of ", row.size(0));
  at::Tensor out = at::empty({rows, x.size(1)}, x.options());
  with_element(x, [&](auto element) {
    using T = decltype(element);
    gpu::gather_rows<T>(data<T>(x), data<std::int32_t>(row), mutable_data<T>(out), rows,
                        out.size(1), compute_stream());
  });
  return out;
}

/// [sums, D]: the rows of x that each line of `positions` [sums, n] int32 names, added in fp32 in
/// its order and rounded once; < 0: none.
inline at::Tensor summed(const at::Tensor& x, const at::Tensor& positions) {
  at::Tensor out = at::empty({positions.size(0), x.size(1)}, x.options());
  with_element(out, [&](auto element) {
    using T = decltype(element);
    gpu::sum_rows<T>(data<T>(x),
                     {.positions = data<std::int32_t>(positions),
                      .sums = out.size(0),
                      .capacity = positions.size(1)},
                     nullptr, mutable_data<T>(out), out.size(1), compute_stream());
  });
  return out;
}

}  // namespace hetmoe::on_gpu
