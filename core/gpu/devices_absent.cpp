// Built without CUDA.
#include "core/base/check.h"
#include "core/gpu/devices.h"

namespace hetmoe::gpu {

Devices visible_devices() {
  return {.visible = {}, .why_none = "this program was built without CUDA", .built_in = false};
}

void use_device(int index) { HETMOE_CHECK(false, "device ", index, " without CUDA"); }

DeviceRoom room_of_device() { HETMOE_CHECK(false, "memory of a device without CUDA"); }

int device_in_use() { HETMOE_CHECK(false, "a device without CUDA"); }

}  // namespace hetmoe::gpu
