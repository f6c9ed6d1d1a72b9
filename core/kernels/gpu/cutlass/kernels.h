// The kernels one by one: each is a file of its own, as each takes the better part of a minute to
// compile.
#pragma once

#include <memory>

#include "core/kernels/gpu/cutlass/grouped_kernel.h"

namespace hetmoe::gpu {

std::unique_ptr<GroupedKernel> make_kernel_abt_bf16(int multiprocessors);
std::unique_ptr<GroupedKernel> make_kernel_ab_bf16(int multiprocessors);
std::unique_ptr<GroupedKernel> make_kernel_atb_fp32(int multiprocessors);

}  // namespace hetmoe::gpu
