#include "core/kernels/gpu/cutlass/kernels.h"

namespace hetmoe::gpu {

std::vector<std::unique_ptr<GroupedKernel>> make_grouped_kernels(int multiprocessors) {
  std::vector<std::unique_ptr<GroupedKernel>> kernels;
  kernels.push_back(make_kernel_abt_bf16(multiprocessors));
  kernels.push_back(make_kernel_ab_bf16(multiprocessors));
  kernels.push_back(make_kernel_atb_fp32(multiprocessors));
  return kernels;
}

}  // namespace hetmoe::gpu
