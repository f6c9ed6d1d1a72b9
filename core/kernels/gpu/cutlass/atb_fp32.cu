#include "core/kernels/gpu/cutlass/pointer_array_kernel.h"

namespace hetmoe::gpu {

std::unique_ptr<GroupedKernel> make_kernel_atb_fp32(int multiprocessors) {
  using Kernel = PointerArrayKernel<cutlass::layout::ColumnMajor, cutlass::layout::RowMajor, float>;
  return std::make_unique<Kernel>(Form::kAtB, multiprocessors);
}

}  // namespace hetmoe::gpu
