#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include "core/gpu/stream.h"
#include "core/tensor/device.h"
#include "core/tensor/gpu_pool.h"

namespace hetmoe {

at::Device gpu_device() { return {at::kCUDA, c10::cuda::current_device()}; }

void use_gpu(int index) {
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
  begin_gpu_pool();
}

void wait_for_gpu() { gpu::wait_for(compute_stream()); }
gpu::Stream compute_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

}  // namespace hetmoe
