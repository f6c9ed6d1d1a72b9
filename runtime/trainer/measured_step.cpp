#include "runtime/trainer/measured_step.h"

#include <algorithm>
#include <span>

#include "core/model/parameter_specs.h"

namespace hetmoe {
namespace {

constexpr double PhaseSeconds::*kPhases[] = {
    &PhaseSeconds::data,      &PhaseSeconds::forward,      &PhaseSeconds::dispatch_wait,
    &PhaseSeconds::expert,    &PhaseSeconds::combine_wait, &PhaseSeconds::backward,
    &PhaseSeconds::gradients, &PhaseSeconds::optimizer,    &PhaseSeconds::parameters};
constexpr std::size_t kPhaseCount = std::size(kPhases);
constexpr std::int64_t StepBytes::*kBytes[] = {&StepBytes::all_to_all, &StepBytes::gradients,
                                               &StepBytes::parameters};
constexpr bool StepWishes::*kWishes[] = {&StepWishes::save, &StepWishes::rebalance,
                                         &StepWishes::stop, &StepWishes::stop_for_good,
                                         &StepWishes::leave};
constexpr std::size_t kWishesBegin = kPhaseCount + std::size(kBytes);
constexpr std::size_t kRanksBegin = kWishesBegin + std::size(kWishes);

}  // namespace

MeasuredStep measure_step(Communicator& control, const PhaseSeconds& phases, double step_seconds,
                          const StepBytes& bytes, const StepWishes& wishes) {
  const auto ranks = static_cast<std::size_t>(control.size());
  // Phases, bytes, wishes, and one place per rank for its step time: one sum gives the maximum too.
  std::vector<double> values(kRanksBegin + ranks, 0.0);
  for (std::size_t i = 0; i < kPhaseCount; ++i) values[i] = phases.*kPhases[i];
  for (std::size_t i = 0; i < std::size(kBytes); ++i) {
    values[kPhaseCount + i] = static_cast<double>(bytes.*kBytes[i]);
  }
  for (std::size_t i = 0; i < std::size(kWishes); ++i) {
    values[kWishesBegin + i] = wishes.*kWishes[i] ? 1 : 0;
  }
  values[kRanksBegin + static_cast<std::size_t>(control.rank())] = step_seconds;
  control.all_reduce(buffer_of(std::span<double>(values)), Reduction::kSum).wait();

  MeasuredStep measured;
  for (std::size_t i = 0; i < std::size(kWishes); ++i) {
    measured.wishes.*kWishes[i] = values[kWishesBegin + i] > 0;
  }
  measured.step_seconds = *std::max_element(values.begin() + kRanksBegin, values.end());
  for (std::size_t i = 0; i < std::size(kBytes); ++i) {
    measured.bytes.*kBytes[i] = static_cast<std::int64_t>(values[kPhaseCount + i]);
  }
  double accounted = 0;
  for (std::size_t i = 0; i < kPhaseCount; ++i) {
    measured.phases.*kPhases[i] = values[i] / static_cast<double>(ranks);
    accounted += measured.phases.*kPhases[i];
  }
  measured.phases.other = measured.step_seconds - accounted;
  return measured;
}

double model_flops(const RunConfig& config, const std::vector<std::vector<std::int64_t>>& load) {
  const auto widths = expert_widths(config.model.experts);
  const auto tokens = static_cast<double>(config.train.global_batch * config.train.sequence_length);
  double forward =
      tokens * dense_forward_flops_per_token(config.model, config.train.sequence_length);
  for (const auto& layer : load) {
    for (std::size_t expert = 0; expert < layer.size(); ++expert) {
      forward += static_cast<double>(layer[expert]) *
                 expert_forward_flops(config.model, static_cast<double>(widths[expert]));
    }
  }
  return 3.0 * forward;
}

}  // namespace hetmoe
