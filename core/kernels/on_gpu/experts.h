#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/kernels/expert_kernels.h"
#include "core/kernels/gpu/grouped_products.h"
#include "core/kernels/gpu/slice_table.h"

namespace hetmoe::on_gpu {

/// Which rows each slice works on. Places are the selections sorted by slice.
struct SlicePlaces {
  at::Tensor row;                      ///< [places] int32, index into x [R, D]
  at::Tensor gate;                     ///< [places] fp32
  at::Tensor of_row;                   ///< [R, n] int32: places of each row by slice; < 0: none
  std::vector<std::int64_t> of_slice;  ///< how many places each slice has
};

/// What forward keeps for backward.
struct ExpertsContext {
  SlicePlaces places;
  at::Tensor in;                      ///< [places, D]: x by slice
  at::Tensor gate_up;                 ///< slice after slice [n, 2 w], where it is kept
  at::Tensor slices;                  ///< the table that kernels read, as bytes
  std::vector<gpu::SliceSpan> spans;  ///< the same for the host
};

struct ExpertsGradient {
  at::Tensor dx;     ///< [R, D]
  at::Tensor dgate;  ///< [places] fp32
};

/// ExpertKernels (core/kernels/expert_kernels.h) for tensors of a GPU: the same formulas, all
/// slices together. A slice's result is rounded to the type of x before the slices of a row are
/// added in fp32. Memory in forward: D + 2 w for every place, kept (D where backward makes the
/// products with gate and up again), and D + w while it runs.
class Experts {
 public:
  explicit Experts(std::unique_ptr<gpu::GroupedProducts> products,
                   GateUpProducts gate_up = GateUpProducts::kKept);

  /// Gives y [R, D]. The host does not wait.
  at::Tensor forward(const at::Tensor& x, std::span<const SliceWeights> slices, SlicePlaces places,
                     ExpertsContext& context);
  /// Begins or continues the gradients of slices that have places; `slices` are those of forward.
  ExpertsGradient backward(const at::Tensor& dy, std::span<SliceWeights> slices,
                           ExpertsContext& context);

 private:
  at::Tensor gate_up_of(std::span<const SliceWeights> slices, const ExpertsContext& context);
  at::Tensor gate_up_again(std::span<const SliceWeights> slices, const ExpertsContext& context);
  /// Products of all slices, one each, from what lies slice after slice.
  void run(gpu::ProductKind kind, std::span<const gpu::Product> products);

  std::unique_ptr<gpu::GroupedProducts> products_;
  bool keeps_gate_up_;
};

}  // namespace hetmoe::on_gpu
