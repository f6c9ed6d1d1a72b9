#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

/// core/kernels/row_copy.h for tensors of a GPU, with the index there. Enqueued; the host does not
/// wait.
namespace hetmoe::on_gpu {

/// [n] int32 on the GPU, copied aside first.
at::Tensor uploaded_index(std::span<const std::int64_t> index);

/// Rows of x [R, D] in the order of `index` [n] int32.
at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& index);
/// [sums, D]: the rows of x that each line of `positions` [sums, n] int32 names, added in fp32 in
/// its order and rounded once; < 0: none.
at::Tensor sum_rows(const at::Tensor& x, const at::Tensor& positions);
/// target[index[i]] = x[i]; no index may occur twice.
void put_rows(const at::Tensor& x, const at::Tensor& index, at::Tensor& target);
/// sum[index[i]] += x[i], sum [R, D] fp32; the index must ascend and may repeat.
void add_repeated_rows(const at::Tensor& x, std::span<const std::int64_t> index, at::Tensor& sum);

/// Sums of rows that lie group after group (gpu/group_sums.h).
class GroupSums {
 public:
  /// begin [groups + 1]: the first row of each group; uploads its tables.
  explicit GroupSums(std::span<const std::int64_t> begin);

  /// sums [groups, D] fp32 of rows [n, D], on top of what is there or in its place.
  void run(const at::Tensor& rows, bool adds, const at::Tensor& sums) const;

 private:
  at::Tensor line_row_, group_line_;
};

/// [n] fp32: sums of `terms` elements of x each, fp32, in order. element [n * terms] is their index
/// in x, negative where there is none.
at::Tensor sum_elements(const at::Tensor& x, std::span<const std::int32_t> element,
                        std::int64_t terms);

}  // namespace hetmoe::on_gpu
