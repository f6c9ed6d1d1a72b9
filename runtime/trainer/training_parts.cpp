#include "runtime/trainer/training_parts.h"

#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/tensor/device.h"
#include "parallel/communicator/nccl_communicator.h"
#include "parallel/communicator/watched_communicator.h"
#include "parallel/placement/held_slices.h"
#include "runtime/trainer/configured_products.h"
#include "runtime/trainer/dispatch_nodes.h"

namespace hetmoe {
namespace {

at::ScalarType compute_type(const RunConfig& config) {
  HETMOE_CHECK(config.train.precision != Precision::kAuto, "precision is not resolved");
  return config.train.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
}

/// Where the tensors live that a class of traffic carries.
at::Device device_of(const TrafficClasses& traffic) {
  return traffic.gradients->memory() == MemoryKind::kDevice ? gpu_device() : at::Device(at::kCPU);
}

/// Of the ranks of one group, by its number where there are several: other members, another name.
std::string dispatch_name(const ExpertGroups& groups, int world_rank) {
  if (groups.count == 1) return "dispatch";
  return "dispatch of group " + std::to_string(groups.group_of(world_rank));
}

std::unique_ptr<Communicator> recorded(std::unique_ptr<Communicator> traffic, CollectiveLog* log,
                                       std::string name) {
  return log == nullptr ? std::move(traffic) : watched(std::move(traffic), *log, std::move(name));
}

}  // namespace

TrafficClasses::TrafficClasses(Communicator& world, const ExpertGroups& groups_in,
                               CollectiveLog* log)
    : groups(groups_in),
      collectives(log),
      control(recorded(world.split(0, world.rank()), log, "control")),
      dispatch(recorded(world.split(groups.group_of(world.rank()), world.rank()), log,
                        dispatch_name(groups, world.rank()))),
      gradients(recorded(world.split(0, world.rank()), log, "gradients")),
      parameters(recorded(world.split(0, world.rank()), log, "parameters")),
      world_(world) {}

void TrafficClasses::move_to_gpu(DeviceGroups& devices) {
  const NcclOptions options{.compute_stream = compute_stream, .groups = &devices};
  const auto over_gpus = [&](int color, std::string name) {
    return recorded(make_nccl_communicator(world_.split(color, world_.rank()), options),
                    collectives, std::move(name));
  };
  const std::string suffix = " on GPUs";
  dispatch =
      over_gpus(groups.group_of(world_.rank()), dispatch_name(groups, world_.rank()) + suffix);
  gradients = over_gpus(0, "gradients" + suffix);
  parameters = over_gpus(0, "parameters" + suffix);
}

void TrafficClasses::begin_step(std::int64_t step) const {
  if (collectives != nullptr) collectives->begin_step(step);
}

TrainingParts::TrainingParts(const RunConfig& config, const TrafficClasses& traffic,
                             const Placement& placement, BatchReader& reader, const Clock& clock,
                             const Ownership::FillRows& first)
    : parameters_(config.model, slices_of_rank(placement, traffic.dispatch->rank()),
                  compute_type(config), GradientMemory::kHeld, device_of(traffic)),
      ownership_(*traffic.gradients, *traffic.parameters, parameters_, placement, traffic.groups),
      statistics_(*traffic.control, *traffic.gradients),
      mixture_(
          *traffic.dispatch, placement,
          {.type = parameters_.type(),
           .hidden_size = config.model.hidden_size,
           .gate_up = config.train.recompute == Recompute::kNone ? GateUpProducts::kKept
                                                                 : GateUpProducts::kComputedAgain,
           .on_gpu = !parameters_.device().is_cpu(),
           .dispatch_parts = config.parallel.dispatch_parts,
           .products = configured_products(config, *traffic.control),
           .nodes = dispatch_nodes(config.topology, traffic.groups, *traffic.control)}),
      decoder_(config.model, {.parameters = parameters_,
                              .mixture = mixture_.get(),
                              .gate = ownership_,
                              .listener = ownership_,
                              .recompute = config.train.recompute}),
      step_({.config = config,
             .decoder = decoder_,
             .parameters = parameters_,
             .ownership = ownership_,
             .statistics = statistics_,
             .control = *traffic.control,
             .reader = reader,
             .clock = clock}) {
  ownership_.assign(first);
}

void TrainingParts::migrate(const Placement& placement) {
  decoder_.parameters_changed();  // nor need generated weights add to the peak of a move
  ownership_.migrate(placement);
  mixture_.follow(placement);
}

}  // namespace hetmoe
