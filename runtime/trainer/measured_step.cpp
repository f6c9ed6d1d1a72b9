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
constexpr std::int64_t StepBytes::*kBytes[] = {
    &StepBytes::dispatch,   &StepBytes::combine,           &StepBytes::gradients,
    &StepBytes::parameters, &StepBytes::parameters_hidden, &StepBytes::other_node};
constexpr bool StepWishes::*kWishes[] = {&StepWishes::save, &StepWishes::rebalance,
                                         &StepWishes::stop, &StepWishes::stop_for_good,
                                         &StepWishes::leave};
constexpr std::size_t kBytesBegin = kPhaseCount;
constexpr std::size_t kWishesBegin = kBytesBegin + std::size(kBytes);
constexpr std::size_t kRanksBegin = kWishesBegin + std::size(kWishes);

/// What is added up over ranks. A place per rank gives each one's number, and so their maximum.
struct Sums {
  explicit Sums(int rank_count)
      : ranks(static_cast<std::size_t>(rank_count)), values(kRanksBegin + 4 * ranks, 0.0) {}

  std::span<double> of_ranks(std::size_t which) {
    return std::span(values).subspan(kRanksBegin + which * ranks, ranks);
  }
  std::span<double> step_seconds() { return of_ranks(0); }
  std::span<double> expert_flops() { return of_ranks(1); }
  std::span<double> host_bytes() { return of_ranks(2); }
  std::span<double> device_bytes() { return of_ranks(3); }

  std::size_t ranks;
  std::vector<double> values;
};

Sums sums_of(const OwnStep& own, int rank, int ranks) {
  Sums sums(ranks);
  for (std::size_t i = 0; i < kPhaseCount; ++i) sums.values[i] = own.phases.*kPhases[i];
  for (std::size_t i = 0; i < std::size(kBytes); ++i) {
    sums.values[kBytesBegin + i] = static_cast<double>(own.bytes.*kBytes[i]);
  }
  for (std::size_t i = 0; i < std::size(kWishes); ++i) {
    sums.values[kWishesBegin + i] = own.wishes.*kWishes[i] ? 1 : 0;
  }
  const auto index = static_cast<std::size_t>(rank);
  sums.step_seconds()[index] = own.step_seconds;
  sums.expert_flops()[index] = own.expert_flops;
  sums.host_bytes()[index] = static_cast<double>(own.memory.host_bytes);
  sums.device_bytes()[index] = static_cast<double>(own.memory.device_bytes);
  return sums;
}

}  // namespace

MeasuredStep measure_step(Communicator& control, const OwnStep& own) {
  Sums sums = sums_of(own, control.rank(), control.size());
  control.all_reduce(buffer_of(std::span<double>(sums.values)), Reduction::kSum).wait();

  MeasuredStep measured;
  for (std::size_t i = 0; i < std::size(kWishes); ++i) {
    measured.wishes.*kWishes[i] = sums.values[kWishesBegin + i] > 0;
  }
  measured.step_seconds = std::ranges::max(sums.step_seconds());
  measured.memory = {
      .host_bytes = static_cast<std::int64_t>(std::ranges::max(sums.host_bytes())),
      .device_bytes = static_cast<std::int64_t>(std::ranges::max(sums.device_bytes()))};
  measured.rank_expert_flops.assign(sums.expert_flops().begin(), sums.expert_flops().end());
  for (std::size_t i = 0; i < std::size(kBytes); ++i) {
    measured.bytes.*kBytes[i] = static_cast<std::int64_t>(sums.values[kBytesBegin + i]);
  }
  double accounted = 0;
  for (std::size_t i = 0; i < kPhaseCount; ++i) {
    measured.phases.*kPhases[i] = sums.values[i] / static_cast<double>(sums.ranks);
    accounted += measured.phases.*kPhases[i];
  }
  // A GPU's phases are told a step late in part.
  measured.phases.other = std::max(0.0, measured.step_seconds - accounted);
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
