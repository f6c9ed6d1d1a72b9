#include "runtime/trainer/training_parts.h"

#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/model/local_token_dispatcher.h"
#include "parallel/communicator/watched_communicator.h"
#include "parallel/placement/held_slices.h"

namespace hetmoe {
namespace {

at::ScalarType compute_type(const RunConfig& config) {
  HETMOE_CHECK(config.train.precision != Precision::kAuto, "precision is not resolved");
  return config.train.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
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

bool has_peers(const TrafficClasses& traffic) { return traffic.dispatch->size() > 1; }

}  // namespace

TrafficClasses::TrafficClasses(Communicator& world, const ExpertGroups& groups_in,
                               CollectiveLog* log)
    : groups(groups_in),
      collectives(log),
      control(recorded(world.split(0, world.rank()), log, "control")),
      dispatch(recorded(world.split(groups.group_of(world.rank()), world.rank()), log,
                        dispatch_name(groups, world.rank()))),
      gradients(recorded(world.split(0, world.rank()), log, "gradients")),
      parameters(recorded(world.split(0, world.rank()), log, "parameters")) {}

void TrafficClasses::begin_step(std::int64_t step) const {
  if (collectives != nullptr) collectives->begin_step(step);
}

TrainingParts::TrainingParts(const RunConfig& config, const TrafficClasses& traffic,
                             const Placement& placement, BatchReader& reader, const Clock& clock,
                             const Ownership::FillRows& first)
    : parameters_(config.model, slices_of_rank(placement, traffic.dispatch->rank()),
                  compute_type(config)),
      ownership_(*traffic.gradients, *traffic.parameters, parameters_, placement, traffic.groups),
      statistics_(*traffic.control),
      placed_dispatcher_(has_peers(traffic)
                             ? make_all_to_all_token_dispatcher(*traffic.dispatch, placement)
                             : nullptr),
      local_dispatcher_(
          has_peers(traffic) ? nullptr : make_local_token_dispatcher(slices_of_rank(placement, 0))),
      dispatcher_(has_peers(traffic) ? placed_dispatcher_.get() : local_dispatcher_.get()),
      kernels_(make_expert_kernels(parameters_.type(), config.model.hidden_size)),
      decoder_(config.model, {.parameters = parameters_,
                              .kernels = *kernels_,
                              .dispatcher = *dispatcher_,
                              .gate = ownership_,
                              .clock = clock,
                              .listener = ownership_}),
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
  HETMOE_CHECK(placed_dispatcher_ != nullptr, "there is nowhere to move to");
  decoder_.parameters_changed();  // nor need generated weights add to the peak of a move
  ownership_.migrate(placement);
  placed_dispatcher_->follow(placement);
}

}  // namespace hetmoe
