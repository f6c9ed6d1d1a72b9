// Beside a GPU; tests/emulation/include has the same name for a CPU that plays it.
#pragma once

#include <cuda_runtime.h>

#include "core/gpu/cuda_call.h"
#include "core/gpu/launch.h"

namespace hetmoe::bench {

/// Time on a stream, by events.
class DeviceTimer {
 public:
  DeviceTimer() {
    gpu::check_cuda("cudaEventCreate", cudaEventCreate(&begin_));
    gpu::check_cuda("cudaEventCreate", cudaEventCreate(&end_));
  }
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;
  ~DeviceTimer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }

  void start(gpu::Stream stream) {
    gpu::check_cuda("cudaEventRecord", cudaEventRecord(begin_, stream));
  }
  /// Since start; the host waits.
  double seconds(gpu::Stream stream) const {
    gpu::check_cuda("cudaEventRecord", cudaEventRecord(end_, stream));
    gpu::check_cuda("cudaEventSynchronize", cudaEventSynchronize(end_));
    float milliseconds = 0;
    gpu::check_cuda("cudaEventElapsedTime", cudaEventElapsedTime(&milliseconds, begin_, end_));
    return milliseconds / 1e3;
  }

 private:
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

}  // namespace hetmoe::bench
