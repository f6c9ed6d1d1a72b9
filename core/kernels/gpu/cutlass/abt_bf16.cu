#include "core/kernels/gpu/cutlass/pointer_array_kernel.h"

namespace hetmoe::gpu {

std::unique_ptr<GroupedKernel> make_kernel_abt_bf16(int multiprocessors) {
  using Kernel = PointerArrayKernel<cutlass::layout::RowMajor, cutlass::layout::ColumnMajor,
                                    cutlass::bfloat16_t>;
  return std::make_unique<Kernel>(Form::kABt, multiprocessors);
}

}  // namespace hetmoe::gpu
