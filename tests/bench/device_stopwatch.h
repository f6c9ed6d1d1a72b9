#pragma once

#include <vector>

#include "core/gpu/launch.h"

namespace hetmoe::bench {

/// Times between marks on a stream, by the device's own clock. Move-only.
class DeviceStopwatch {
 public:
  DeviceStopwatch() = default;
  DeviceStopwatch(const DeviceStopwatch&) = delete;
  DeviceStopwatch& operator=(const DeviceStopwatch&) = delete;
  ~DeviceStopwatch();

  void mark(gpu::Stream stream);

  /// From each mark to the next. The host waits for the last one; all are forgotten.
  std::vector<double> seconds();

 private:
  std::vector<gpu::Event> events_;
};

}  // namespace hetmoe::bench
