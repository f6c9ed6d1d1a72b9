#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hetmoe::gpu {

struct Device {
  std::string name;                     ///< as the driver says: "NVIDIA H100 80GB HBM3"
  std::array<std::uint8_t, 16> uuid{};  ///< the same for every process that sees it
  std::int64_t memory_bytes = 0;
  int multiprocessors = 0;
  int major = 0;  ///< compute capability
  int minor = 0;
};

/// What this process can compute on.
struct Devices {
  std::vector<Device> visible;
  std::string why_none;  ///< one clause, for people; empty if there is one
  bool built_in = true;  ///< whether this program could use one
};

/// Never throws: where CUDA is not built in, or there is no driver, it says so.
Devices visible_devices();

/// This thread computes on it from now on. Errors: DeviceError.
void use_device(int index);
/// What this thread computes on.
int device_in_use();

struct DeviceRoom {
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;  ///< nobody's: of no process
};
/// Of what this thread computes on. Errors: DeviceError.
DeviceRoom room_of_device();

}  // namespace hetmoe::gpu
