#pragma once

#include <vector>

#include "core/gpu/memory.h"
#include "core/gpu/stream.h"

namespace hetmoe::test {

/// Values on the device, on the default stream.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values)
      : count_(values.size()), memory_(values.size() * sizeof(T)) {
    gpu::copy_to_device(memory_.get(), values.data(), memory_.size_bytes(), nullptr);
    gpu::wait_for(nullptr);
  }
  /// NaN in the emulation.
  explicit DeviceArray(std::size_t count) : count_(count), memory_(count * sizeof(T)) {}

  T* get() const { return static_cast<T*>(memory_.get()); }

  std::vector<T> values() const {
    std::vector<T> values(count_);
    gpu::copy_to_host(values.data(), memory_.get(), memory_.size_bytes(), nullptr);
    gpu::wait_for(nullptr);
    return values;
  }

 private:
  std::size_t count_;
  gpu::DeviceMemory memory_;
};

}  // namespace hetmoe::test
