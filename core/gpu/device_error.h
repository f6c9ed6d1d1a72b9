#pragma once

#include <string>

#include "core/base/error.h"

namespace hetmoe::gpu {

/// A call of the device's runtime that failed. Most are final: the device answers nothing else
/// afterwards.
class DeviceError : public Error {
 public:
  explicit DeviceError(const std::string& message) : Error(ExitCode::kInternal, message) {}
};

/// The device has no room left for what was asked.
class DeviceMemoryError : public Error {
 public:
  explicit DeviceMemoryError(const std::string& message)
      : Error(ExitCode::kConfiguration, message) {}
};

}  // namespace hetmoe::gpu
