#include "runtime/trainer/memory_check.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "core/gpu/device_error.h"
#include "core/model/parameter_specs.h"
#include "core/tensor/gpu_memory.h"
#include "parallel/agreement.h"
#include "parallel/communicator/device_choice.h"
#include "parallel/communicator/rank_hosts.h"
#include "parallel/ownership/update_traffic.h"
#include "parallel/placement/owned_slices.h"
#include "parallel/simulation/simulated_memory.h"
#include "runtime/report/quantity_text.h"
#include "runtime/trainer/global_batch.h"
#include "runtime/trainer/process_memory.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kGradientBytes = 4;
constexpr std::int64_t kMomentBytes = 8;
constexpr std::int64_t kMasterBytes = 4;     ///< in fp32 the compute copy is the master
constexpr std::int64_t kSnapshotBytes = 12;  ///< a copy of master and moments, while it is saved

/// [ranks of the world] elements of slices that each holds.
std::vector<std::int64_t> held_elements(const RunConfig& config, const Placement& placement,
                                        const ExpertGroups& groups) {
  std::vector<std::int64_t> elements(static_cast<std::size_t>(groups.ranks()), 0);
  for (const LayerPlacement& layer : placement.layers) {
    for (const PlacedSlice& slice : layer.slices) {
      for (int group = 0; group < groups.count; ++group) {
        elements[groups.rank_of(group, slice.rank)] +=
            kExpertMatrices * slice.width() * config.model.hidden_size;
      }
    }
  }
  return elements;
}

/// Selections of an expert that prefers no token, of a microbatch of `tokens`.
double selections_of_expert(const RouterConfig& router, int experts, double tokens) {
  const double selected = router.kind == RouterKind::kTopK ? router.top_k : router.top_p * experts;
  return tokens * selected / experts;
}

/// Activations of own tokens, and of the tokens that a rank's slices receive from its group; and as
/// state the weights that are generated for own tokens.
std::vector<MemoryNeed> needs_of_tokens(const RunConfig& config, const Placement& placement,
                                        const ExpertGroups& groups) {
  const TrainConfig& train = config.train;
  const SimulatedWorld world{.model = config.model,
                             .is_bf16 = train.precision == Precision::kBf16,
                             .sequence_length = train.sequence_length,
                             .microbatches = train.microbatches,
                             .sequences = counts_of_ranks(train.global_batch / train.microbatches,
                                                          source_weights(config, groups.ranks())),
                             .expert_group_size = groups.size,
                             .ranks_per_node = groups.ranks(),
                             .recompute = train.recompute};
  const double of_group = world.microbatch_tokens() / groups.count;
  const double of_expert =
      selections_of_expert(config.model.router, config.model.experts.count, of_group);
  std::vector<double> received(static_cast<std::size_t>(groups.size), 0.0), again(received);
  for (const LayerPlacement& layer : placement.layers) {
    std::vector<LayerTime> load(received.size());
    for (const PlacedSlice& slice : layer.slices) {
      load[slice.rank].received_rows += of_expert * slice.share;
      load[slice.rank].hidden_values +=
          of_expert * slice.share * static_cast<double>(slice.width());
    }
    for (std::size_t rank = 0; rank < load.size(); ++rank) {
      load[rank].received_rows = std::min(load[rank].received_rows, of_group);
      received[rank] += received_bytes(world, load[rank]);
      again[rank] = std::max(again[rank], recomputed_bytes(world, load[rank]));
    }
  }
  std::vector<MemoryNeed> needs(static_cast<std::size_t>(groups.ranks()));
  for (int rank = 0; rank < groups.ranks(); ++rank) {
    const double tokens = world.tokens(rank);
    const int place = groups.rank_in_group(rank);
    needs[rank].activation_bytes =
        std::llround(activation_bytes(world, tokens) + received[place] + again[place]);
    needs[rank].state_bytes = std::llround(generated_weight_bytes(world, tokens));
  }
  return needs;
}

std::string gibibytes(std::int64_t bytes) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << static_cast<double>(bytes) / (1 << 30) << " GiB";
  return text.str();
}

}  // namespace

std::vector<MemoryNeed> memory_needs(const RunConfig& config, const Placement& placement,
                                     const ExpertGroups& groups) {
  const std::vector<std::int64_t> held_slices = held_elements(config, placement, groups);
  const std::vector<TensorSpec> specs = dense_tensor_specs(config.model);
  std::vector<std::int64_t> owned_slices = owned_rows(placement, groups);
  for (std::int64_t& rows : owned_slices) rows *= kExpertMatrices * config.model.hidden_size;
  const auto owned_dense = owned_dense_elements(partition_dense(specs, owned_slices));
  const std::int64_t dense = std::reduce(owned_dense.begin(), owned_dense.end());
  const auto buffers = update_traffic({.dense = specs,
                                       .placement = placement,
                                       .groups = groups,
                                       .hidden_size = config.model.hidden_size})
                           .buffer_bytes;
  const bool fp32 = config.train.precision == Precision::kFp32;
  const CheckpointConfig& checkpoint = config.checkpoint;
  const std::int64_t snapshot =
      checkpoint.every_steps > 0 || checkpoint.last_step ? kSnapshotBytes : 0;
  std::vector<MemoryNeed> needs = needs_of_tokens(config, placement, groups);
  for (int rank = 0; rank < groups.ranks(); ++rank) {
    const std::int64_t held = dense + held_slices[rank];
    const std::int64_t owned = owned_dense[rank] + owned_slices[rank];
    needs[rank].state_bytes += held * ((fp32 ? 4 : 2) + kGradientBytes) +
                               owned * (kMomentBytes + (fp32 ? 0 : kMasterBytes)) + buffers[rank];
    needs[rank].snapshot_bytes = owned * snapshot;
  }
  return needs;
}

std::optional<std::string> device_shortage(const std::vector<MemoryNeed>& needs,
                                           const std::vector<int>& devices, int rank,
                                           const DeviceRoomOfRank& room) {
  std::int64_t state = 0, activations = 0, reserve = 0;
  int sharing = 0;
  for (std::size_t other = 0; other < needs.size(); ++other) {
    if (devices[other] != devices[static_cast<std::size_t>(rank)]) continue;
    state += needs[other].state_bytes;
    activations += needs[other].activation_bytes;
    reserve += kDeviceReserveBytes;
    ++sharing;
  }
  if (state + reserve <= room.free_bytes) return std::nullopt;
  return room.name + " has " + gibibytes(room.free_bytes) + " of " + gibibytes(room.total_bytes) +
         " free, but " +
         (sharing == 1 ? "its rank needs " : "its " + std::to_string(sharing) + " ranks need ") +
         gibibytes(state) + " for parameters, gradients and moments, about " +
         gibibytes(activations) + " for activations, and " + gibibytes(reserve) +
         " in reserve: use more GPUs or a smaller model, lower train.global_batch or "
         "train.sequence_length, or raise train.microbatches";
}

namespace {

/// Ranks that share a GPU find it together: nobody has taken what another counts on yet.
void require_device_memory(const std::vector<MemoryNeed>& needs, Communicator& control,
                           const ComputeDevice& device) {
  const std::vector<int> devices = device_numbers(control, device.uuid);
  const GpuMemory memory = gpu_memory();
  control.barrier();
  collectively(control, [&] {
    const std::optional<std::string> shortage =
        device_shortage(needs, devices, control.rank(),
                        {.name = "GPU " + device.name + " (" + uuid_text(device.uuid) + ")",
                         .total_bytes = memory.total_bytes,
                         .free_bytes = memory.free_bytes});
    if (shortage) throw ConfigError(*shortage);
  });
}

}  // namespace

void require_memory(const RunConfig& config, const Placement& placement, const ExpertGroups& groups,
                    Communicator& control, const ComputeDevice& device) {
  const std::vector<int> hosts = hosts_of_ranks(control);
  const int own_host = hosts[control.rank()];
  const std::vector<MemoryNeed> needs = memory_needs(config, placement, groups);
  std::int64_t needed = 0;
  int ranks_here = 0;
  for (int rank = 0; rank < control.size(); ++rank) {
    if (hosts[rank] != own_host) continue;
    needed += needs[rank].snapshot_bytes + (device.on_gpu ? 0 : needs[rank].state_bytes);
    ++ranks_here;
  }
  collectively(control, [&] {
    const std::int64_t available = memory_limit_bytes();
    if (needed <= available) return;
    throw ConfigError("the model needs " + gibibytes(needed) + " for " +
                      (device.on_gpu ? "what is saved of masters and moments"
                                     : "the parameters, gradients and moments") +
                      " of the " + std::to_string(ranks_here) + " ranks on this host, which has " +
                      gibibytes(available) + ": use more hosts or a smaller model");
  });
  if (device.on_gpu) require_device_memory(needs, control, device);
}

namespace {

[[noreturn]] void tell(const std::string& doing) {
  const GpuMemory memory = gpu_memory();
  throw gpu::DeviceMemoryError(
      doing + ": out of memory on the GPU: " + bytes_text(memory.refused_bytes) +
      " were asked for, " + bytes_text(memory.free_bytes) + " of " +
      bytes_text(memory.total_bytes) +
      " are free, perhaps not in one piece: use more GPUs or a smaller model, lower "
      "train.global_batch or train.sequence_length, raise train.microbatches, or set "
      "train.recompute");
}

}  // namespace

// Only what computes on a GPU throws these.
void tell_short_memory(const std::function<std::string()>& doing,
                       const std::function<void()>& work) {
  try {
    work();
  } catch (const c10::OutOfMemoryError&) {
    tell(doing());
  } catch (const gpu::DeviceMemoryError&) {
    tell(doing());
  }
}

}  // namespace hetmoe
