#include "runtime/trainer/compute_device.h"

#include <array>
#include <cstdlib>
#include <span>
#include <string_view>

#include "core/base/error.h"
#include "core/gpu/devices.h"
#include "core/tensor/device.h"
#include "parallel/agreement.h"
#include "parallel/communicator/device_choice.h"

namespace hetmoe {
namespace {

bool every_rank_sees_one(Communicator& control, const gpu::Devices& devices) {
  std::array<std::int64_t, 1> sees = {devices.visible.empty() ? 0 : 1};
  control.all_reduce(buffer_of(std::span<std::int64_t>(sees)), Reduction::kMin).wait();
  return sees[0] == 1;
}

bool ranks_may_share() {
  const char* enabled = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  return enabled != nullptr && std::string_view(enabled) == "1";
}

/// Every rank finds the same fault, and one of them tells it.
int agreed_device(Communicator& control, const gpu::Devices& devices) {
  std::string fault;
  int index = 0;
  try {
    index = choose_device(control, devices, ranks_may_share());
  } catch (const ConfigError& error) {
    fault = error.what();
  }
  collectively(control, [&] {
    if (!fault.empty()) throw ConfigError(fault);
  });
  return index;
}

}  // namespace

ComputeDevice choose_compute_device(const std::string& asked, Communicator& control) {
  if (asked == "cpu") return {};
  const gpu::Devices devices = gpu::visible_devices();
  if (asked == "auto" && !every_rank_sees_one(control, devices)) {
    ComputeDevice cpu;
    if (devices.built_in && !devices.why_none.empty())
      cpu.note = "device auto: cpu, " + devices.why_none;
    return cpu;
  }
  collectively(control, [&] {
    if (devices.visible.empty()) {
      throw ConfigError("parallel.device: 'cuda', but " + devices.why_none +
                        " (allowed here: cpu, auto)");
    }
  });
  const int index = agreed_device(control, devices);
  use_gpu(index);
  const gpu::Device& device = devices.visible[static_cast<std::size_t>(index)];
  return {.on_gpu = true,
          .name = device.name,
          .uuid = device.uuid,
          .memory_bytes = device.memory_bytes,
          .note = {}};
}

}  // namespace hetmoe
