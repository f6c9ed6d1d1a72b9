#include "core/tensor/device.h"

#include "core/gpu/devices.h"

namespace hetmoe {

at::Device gpu_device() { return {at::kPrivateUse1, 0}; }
void use_gpu(int index) { gpu::use_device(index); }
gpu::Stream compute_stream() { return nullptr; }

}  // namespace hetmoe
