#include "runtime/trainer/training_parts.h"

#include "core/base/check.h"
#include "core/model/local_token_dispatcher.h"
#include "parallel/dispatch/all_to_all_token_dispatcher.h"
#include "runtime/trainer/initial_plan.h"

namespace hetmoe {
namespace {

at::ScalarType compute_type(const RunConfig& config) {
  HETMOE_CHECK(config.train.precision != Precision::kAuto, "precision is not resolved");
  return config.train.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
}

std::unique_ptr<TokenDispatcher> make_dispatcher(Communicator& group, const Placement& placement) {
  return group.size() == 1 ? make_local_token_dispatcher()
                           : make_all_to_all_token_dispatcher(group, placement);
}

}  // namespace

TrafficClasses::TrafficClasses(Communicator& world)
    : control(world.split(0, world.rank())),
      dispatch(world.split(0, world.rank())),
      gradients(world.split(0, world.rank())),
      parameters(world.split(0, world.rank())) {}

TrainingParts::TrainingParts(const RunConfig& config, const TrafficClasses& traffic,
                             const Placement& placement, BatchReader& reader, const Clock& clock)
    : parameters_(config.model, slices_of_rank(placement, traffic.control->rank()),
                  compute_type(config)),
      ownership_(*traffic.gradients, *traffic.parameters, parameters_, placement),
      statistics_(*traffic.control),
      dispatcher_(make_dispatcher(*traffic.dispatch, placement)),
      kernels_(make_expert_kernels(parameters_.type(), config.model.hidden_size)),
      decoder_(config.model, {.parameters = parameters_,
                              .kernels = *kernels_,
                              .dispatcher = *dispatcher_,
                              .gate = ownership_.parameter_gate(),
                              .clock = clock}),
      step_({.config = config,
             .decoder = decoder_,
             .parameters = parameters_,
             .ownership = ownership_,
             .statistics = statistics_,
             .control = *traffic.control,
             .reader = reader,
             .clock = clock}) {
  ownership_.initialize(config.train.seed, config.model.initializer_range);
}

}  // namespace hetmoe
