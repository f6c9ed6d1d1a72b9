#include "parallel/simulation/simulation.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>
#include <utility>

#include "core/base/check.h"
#include "core/model/parameter_specs.h"
#include "parallel/simulation/dense_time.h"
#include "parallel/simulation/layer_time.h"
#include "parallel/simulation/update_time.h"

namespace hetmoe {
namespace {

constexpr double StepParts::*kParts[] = {
    &StepParts::dense,     &StepParts::expert,    &StepParts::dispatch,  &StepParts::combine,
    &StepParts::gradients, &StepParts::optimizer, &StepParts::parameters};

/// A layer and how often it occurs, like ones together.
struct DistinctLayer {
  const RoutedTokens* routed = nullptr;
  const LayerPlacement* placement = nullptr;
  std::vector<double> in_step;  ///< [steps]

  /// In the mean step.
  double times() const {
    return std::accumulate(in_step.begin(), in_step.end(), 0.0) /
           static_cast<double>(in_step.size());
  }
};

std::vector<DistinctLayer> distinct_layers(std::span<const std::vector<RoutedTokens>> steps,
                                           const Placement& placement) {
  std::vector<DistinctLayer> distinct;
  for (std::size_t step = 0; step < steps.size(); ++step) {
    const std::vector<RoutedTokens>& layers = steps[step];
    HETMOE_CHECK(layers.size() == placement.layers.size(), layers.size(), " layers routed, ",
                 placement.layers.size(), " placed");
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      const LayerPlacement& placed = placement.layers[layer];
      auto same = std::find_if(distinct.begin(), distinct.end(), [&](const auto& other) {
        return *other.placement == placed && *other.routed == layers[layer];
      });
      if (same == distinct.end()) {
        const std::vector<double> never(steps.size(), 0.0);
        same = distinct.insert(same, {&layers[layer], &placed, never});
      }
      same->in_step[step] += 1;
    }
  }
  return distinct;
}

/// One expert group's microbatch.
struct GroupTime {
  std::vector<StepParts> busy;         ///< [ranks of the group]
  std::vector<double> received_bytes;  ///< the most of a step
  StepParts slowest;                   ///< slowest rank of each phase
  double even = 0;                     ///< seconds with the experts' part spread evenly
};

/// The largest of one value over a group's ranks, and its mean.
template <typename Value>
std::pair<double, double> largest_and_mean(const std::vector<LayerTime>& times, Value value) {
  double largest = 0, sum = 0;
  for (const LayerTime& time : times) {
    largest = std::max(largest, value(time));
    sum += value(time);
  }
  return {largest, sum / static_cast<double>(times.size())};
}

void add_layer(const std::vector<LayerTime>& times, double weight, GroupTime& group) {
  const auto add_phase = [&](double StepParts::*part, auto value) {
    const auto [largest, mean] = largest_and_mean(times, value);
    group.slowest.*part += weight * largest;
    group.even += weight * mean;
    for (std::size_t i = 0; i < times.size(); ++i) group.busy[i].*part += weight * value(times[i]);
  };
  add_phase(&StepParts::dispatch, [](const LayerTime& time) { return time.exchange.dispatch; });
  add_phase(&StepParts::expert, [](const LayerTime& time) { return time.expert_forward; });
  add_phase(&StepParts::combine, [](const LayerTime& time) { return time.exchange.combine; });
  add_phase(&StepParts::dispatch,
            [](const LayerTime& time) { return time.exchange.dispatch_gradient; });
  add_phase(&StepParts::expert, [](const LayerTime& time) { return time.expert_backward; });
  add_phase(&StepParts::combine,
            [](const LayerTime& time) { return time.exchange.combine_gradient; });
}

GroupTime group_time(const Cluster& cluster, const SimulatedWorld& world, int group,
                     const std::vector<DistinctLayer>& layers) {
  const auto size = static_cast<std::size_t>(world.expert_group_size);
  GroupTime time{.busy = std::vector<StepParts>(size),
                 .received_bytes = std::vector<double>(size),
                 .slowest = {}};
  std::vector<std::vector<double>> received(size), again(size);  // [ranks][steps]
  for (const DistinctLayer& layer : layers) {
    const auto times = layer_times(cluster, world, group, *layer.routed, *layer.placement);
    add_layer(times, layer.times(), time);
    for (std::size_t i = 0; i < size; ++i) {
      received[i].resize(layer.in_step.size());
      again[i].resize(layer.in_step.size());
      for (std::size_t step = 0; step < layer.in_step.size(); ++step) {
        received[i][step] += layer.in_step[step] * received_bytes(world, times[i]);
        if (layer.in_step[step] == 0) continue;
        again[i][step] = std::max(again[i][step], recomputed_bytes(world, times[i]));
      }
    }
  }
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t step = 0; step < received[i].size(); ++step) {
      time.received_bytes[i] = std::max(time.received_bytes[i], received[i][step] + again[i][step]);
    }
    const int rank = group * world.expert_group_size + static_cast<int>(i);
    time.busy[i].dense = dense_seconds(cluster, world, world.tokens(rank));
    time.slowest.dense = std::max(time.slowest.dense, time.busy[i].dense);
  }
  time.even += time.slowest.dense;
  return time;
}

/// What a group's time depends on: its ranks' sequences, and where its first node begins.
using GroupKind = std::pair<std::vector<std::int64_t>, int>;

GroupKind kind_of(const SimulatedWorld& world, int group) {
  const auto first = world.sequences.begin() + group * world.expert_group_size;
  return {{first, first + world.expert_group_size},
          group * world.expert_group_size % world.ranks_per_node};
}

/// All microbatches of a step, ranks and the slowest group filled in.
void add_microbatches(const Cluster& cluster, const SimulatedWorld& world,
                      const std::vector<DistinctLayer>& layers, Simulation& simulation) {
  std::map<GroupKind, GroupTime> known;
  const auto microbatches = static_cast<double>(world.microbatches);
  const GroupTime* slowest = nullptr;
  for (int group = 0; group < world.groups(); ++group) {
    auto [found, is_new] = known.try_emplace(kind_of(world, group));
    if (is_new) found->second = group_time(cluster, world, group, layers);
    const GroupTime& time = found->second;
    if (slowest == nullptr || time.slowest.sum() > slowest->slowest.sum()) slowest = &time;
    for (int i = 0; i < world.expert_group_size; ++i) {
      const int rank = group * world.expert_group_size + i;
      add_parts(simulation.ranks[rank].busy, time.busy[i], microbatches);
      SimulatedMemory& memory = simulation.ranks[rank].memory;
      memory.activations = activation_bytes(world, world.tokens(rank)) +
                           generated_weight_bytes(world, world.tokens(rank));
      memory.received = time.received_bytes[i];
    }
    simulation.even_seconds = std::max(simulation.even_seconds, microbatches * time.even);
  }
  add_parts(simulation.parts, slowest->slowest, microbatches);
}

void add_update(const Cluster& cluster, const SimulatedWorld& world, const Placement& placement,
                Simulation& simulation) {
  const std::vector<HeldParameters> held = held_parameters(world, placement);
  const std::vector<UpdateSeconds> update = update_seconds(cluster, world, held);
  StepParts slowest;
  for (int rank = 0; rank < world.ranks(); ++rank) {
    const StepParts own = {.gradients = update[rank].gradients,
                           .optimizer = update[rank].optimizer,
                           .parameters = update[rank].parameters};
    for (const auto part : kParts) slowest.*part = std::max(slowest.*part, own.*part);
    SimulatedRank& simulated = simulation.ranks[rank];
    add_parts(simulated.busy, own, 1);
    SimulatedMemory memory = parameter_memory(world, held[rank]);
    memory.activations = simulated.memory.activations;
    memory.received = simulated.memory.received;
    simulated.memory = memory;
  }
  add_parts(simulation.parts, slowest, 1);
  simulation.even_seconds += slowest.sum();
}

double model_flops_per_token(const SimulatedWorld& world,
                             const std::vector<DistinctLayer>& layers) {
  const std::vector<std::int64_t> widths = expert_widths(world.model.experts);
  double per_token = dense_forward_flops_per_token(world.model, world.sequence_length);
  for (const DistinctLayer& layer : layers) {
    for (std::size_t expert = 0; expert < widths.size(); ++expert)
      per_token += layer.times() * layer.routed->selected[expert] *
                   expert_forward_flops(world.model, static_cast<double>(widths[expert]));
  }
  return 3 * per_token;
}

}  // namespace

void add_parts(StepParts& sum, const StepParts& parts, double weight) {
  for (const auto part : kParts) sum.*part += weight * parts.*part;
}

double Simulation::model_flops_utilization(const Cluster& cluster) const {
  return model_flops /
         (step_seconds() * static_cast<double>(ranks.size()) * cluster.peak_flops_per_second);
}

Simulation simulate(const Cluster& cluster, const SimulatedWorld& world,
                    std::span<const std::vector<RoutedTokens>> steps, const Placement& placement) {
  HETMOE_CHECK(world.expert_group_size >= 1 && world.ranks() % world.expert_group_size == 0,
               world.ranks(), " ranks in groups of ", world.expert_group_size);
  HETMOE_CHECK(!steps.empty() && world.ranks_per_node >= 1, steps.size(), " steps, ",
               world.ranks_per_node, " ranks per node");
  const std::vector<DistinctLayer> layers = distinct_layers(steps, placement);
  Simulation simulation;
  simulation.ranks.resize(static_cast<std::size_t>(world.ranks()));
  simulation.tokens = world.microbatch_tokens() * static_cast<double>(world.microbatches);
  simulation.model_flops = simulation.tokens * model_flops_per_token(world, layers);
  add_microbatches(cluster, world, layers, simulation);
  add_update(cluster, world, placement, simulation);
  const double step = simulation.step_seconds();
  for (SimulatedRank& rank : simulation.ranks) rank.waiting = step - rank.busy.sum();
  return simulation;
}

}  // namespace hetmoe
