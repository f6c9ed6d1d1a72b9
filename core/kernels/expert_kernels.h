#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/kernels/gradient_sum.h"

namespace hetmoe {

/// Compute copies and gradients of one slice, w = its width. Rows are hidden units; `down` is
/// stored like the other two, so that a slice is contiguous rows of all three.
struct SliceWeights {
  at::Tensor gate_up;           ///< [2 w, D]: gate rows, then up rows
  at::Tensor down;              ///< [w, D]
  at::Tensor gate_up_gradient;  ///< [2 w, D], fp32 (fp64 for fp64)
  at::Tensor down_gradient;     ///< [w, D]
  /// Of both gradients: how backward gives its part when the slice has rows, and then kContinue.
  GradientSum sum = GradientSum::kContinue;

  std::int64_t width() const { return down.size(0); }
};

/// Which rows one slice works on: parallel arrays, rows ascending.
struct SliceRows {
  std::vector<std::int64_t> row;        ///< index into x [R, D]
  std::vector<std::int64_t> selection;  ///< index into gates and their gradients
};

/// Whether forward keeps the products with gate and up for backward, or backward makes them again,
/// slice by slice, from the rows: the same bits for two of forward's three products.
enum class GateUpProducts { kKept, kComputedAgain };

/// What forward keeps for backward.
class ExpertContext {
 public:
  virtual ~ExpertContext() = default;
};

struct ExpertForward {
  at::Tensor y;  ///< [R, D], type of x: for every row the sum over its slices here
  std::unique_ptr<ExpertContext> context;
};

struct ExpertBackward {
  at::Tensor dx;               ///< [R, D], type of x
  std::vector<double> dgates;  ///< per selection: sum over this call's slices
};

/// Forward and backward of a list of slices of different widths:
///   y[row] = sum over slices of ((gate * silu(x Wg^T) * (x Wu^T)) Wd).
/// The gate multiplies the hidden activation, so that one accumulated row per token returns and
/// no expert output is stored: with a = silu(.) * (.), z = dy Wd^T, the gate's gradient is the sum
/// of a * z over hidden units. Sums over slices are in fp32 (fp64), in the order of `slices`.
/// Shape: x, dy [R, D]; gates one per selection; R, rows of a slice and slices may be zero.
class ExpertKernels {
 public:
  virtual ~ExpertKernels() = default;

  virtual ExpertForward forward(const at::Tensor& x, std::span<const SliceWeights> slices,
                                std::vector<SliceRows> rows, std::vector<double> gates) = 0;

  /// Begins or continues the gradients of slices that have rows, and leaves those of others as they
  /// are. `slices` must be those of the forward call.
  virtual ExpertBackward backward(const at::Tensor& dy, std::span<SliceWeights> slices,
                                  ExpertContext& context) = 0;
};

/// Plain LibTorch, one operation per formula: the truth that fast versions are tested against.
std::unique_ptr<ExpertKernels> make_reference_expert_kernels();

/// Products through LibTorch, everything between them in one pass over memory. Any type.
std::unique_ptr<ExpertKernels> make_cpu_expert_kernels(
    GateUpProducts products = GateUpProducts::kKept);

/// bf16 only, where packed_products_available(): products in blocks with fp32 results, everything
/// between them done while a block is in the cache. D must be a multiple of 32.
std::unique_ptr<ExpertKernels> make_packed_expert_kernels(
    GateUpProducts products = GateUpProducts::kKept);

/// The fastest of the above for rows of this type and width on this processor.
std::unique_ptr<ExpertKernels> make_expert_kernels(at::ScalarType type, std::int64_t hidden_size,
                                                   GateUpProducts products = GateUpProducts::kKept);

}  // namespace hetmoe
