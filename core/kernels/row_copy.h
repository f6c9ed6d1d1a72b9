#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace hetmoe {

// For tensors of any device; the index of a GPU's is copied aside first.

/// Rows of x [R, D] in the order of `index`: [n, D], type of x.
at::Tensor gather_rows(const at::Tensor& x, std::span<const std::int64_t> index);

/// target[index[i]] = x[i], for x [n, D] and target [R, D] of the same type. An index must not
/// occur twice in one call.
void put_rows(const at::Tensor& x, std::span<const std::int64_t> index, at::Tensor& target);

/// sum[index[i]] += x[i], for x [n, D] and sum [R, D] of the wide type (fp32 for bf16). An index
/// must not occur twice in one call. On a CPU.
void add_rows(const at::Tensor& x, std::span<const std::int64_t> index, at::Tensor& sum);

/// The same where an index may occur again: rows are added in order of i (threads share columns).
/// On a GPU the index must ascend.
void add_repeated_rows(const at::Tensor& x, std::span<const std::int64_t> index, at::Tensor& sum);

}  // namespace hetmoe
