#pragma once

#include <chrono>

#include "core/gpu/stream.h"

namespace hetmoe::bench {

/// Time on a stream; here of the CPU that plays the device, and worth nothing.
class DeviceTimer {
 public:
  void start(gpu::Stream stream) {
    gpu::wait_for(stream);
    begin_ = std::chrono::steady_clock::now();
  }
  /// Since start; the host waits.
  double seconds(gpu::Stream stream) const {
    gpu::wait_for(stream);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace hetmoe::bench
