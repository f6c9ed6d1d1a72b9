#include "core/kernels/gpu/device_share.h"

#include <algorithm>

#include "core/base/check.h"

namespace hetmoe::gpu {

Device device_here() {
  const Devices devices = visible_devices();
  HETMOE_CHECK(!devices.visible.empty(), devices.why_none);
  return devices.visible.at(static_cast<std::size_t>(device_in_use()));
}

std::string compute_capability() {
  const Device mine = device_here();
  return std::to_string(mine.major) + "." + std::to_string(mine.minor);
}

int multiprocessors_left(int reserve) {
  HETMOE_CHECK(reserve >= 0 && reserve % 2 == 0, "a reserve of ", reserve,
               " multiprocessors, allowed: even numbers");
  const int all = device_here().multiprocessors;
  return all - std::min(reserve, all / 4 * 2);
}

}  // namespace hetmoe::gpu
