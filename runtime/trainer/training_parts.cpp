#include "runtime/trainer/training_parts.h"

#include "core/base/check.h"
#include "core/model/local_token_dispatcher.h"
#include "parallel/placement/held_slices.h"

namespace hetmoe {
namespace {

at::ScalarType compute_type(const RunConfig& config) {
  HETMOE_CHECK(config.train.precision != Precision::kAuto, "precision is not resolved");
  return config.train.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
}

bool has_peers(const TrafficClasses& traffic) { return traffic.dispatch->size() > 1; }

}  // namespace

TrafficClasses::TrafficClasses(Communicator& world, const ExpertGroups& groups_in)
    : groups(groups_in),
      control(world.split(0, world.rank())),
      dispatch(world.split(groups.group_of(world.rank()), world.rank())),
      gradients(world.split(0, world.rank())),
      parameters(world.split(0, world.rank())) {}

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
