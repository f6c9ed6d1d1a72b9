// Built without CUDA: nobody comes here (compute_choice.h refuses the device before).
#include "core/base/check.h"
#include "core/tensor/device.h"
#include "core/tensor/gpu_memory.h"
#include "core/tensor/work_clock.h"

namespace hetmoe {

at::Device gpu_device() { HETMOE_CHECK(false, "a GPU without CUDA"); }
void use_gpu(int index) { HETMOE_CHECK(false, "GPU ", index, " without CUDA"); }
void wait_for_gpu() { HETMOE_CHECK(false, "waiting without CUDA"); }
gpu::Stream compute_stream() { HETMOE_CHECK(false, "a stream without CUDA"); }
GpuMemory gpu_memory() { HETMOE_CHECK(false, "memory of a GPU without CUDA"); }
std::unique_ptr<WorkClock> make_gpu_work_clock() { HETMOE_CHECK(false, "a clock without CUDA"); }

}  // namespace hetmoe
