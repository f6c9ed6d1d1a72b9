#include "tests/support/training_world.h"

#include "parallel/dispatch/all_to_all_token_dispatcher.h"
#include "runtime/trainer/initial_plan.h"

namespace hetmoe::test {

RunConfig small_training() {
  RunConfig config;
  ModelConfig& model = config.model;
  model.vocab_size = 13;
  model.hidden_size = 8;
  model.num_layers = 2;
  model.num_heads = 4;
  model.num_kv_heads = 2;
  model.qk_norm = true;
  model.initializer_range = 0.2;  // at 0.3 gradients amplify rounding a hundredfold
  model.experts.count = 4;
  model.experts.widths = {3, 4, 6, 11};
  model.router.top_k = 2;
  model.router.parameter_penalty = 0.1;
  model.router.load_balance = 0.05;
  model.router.entropy = 0.02;
  config.train.steps = 100;
  config.train.global_batch = 7;
  config.train.sequence_length = 6;
  config.train.learning_rate = 0.01;
  config.train.warmup_steps = 0;
  config.train.weight_decay = 0.1;
  config.train.clip_norm = 0;
  config.train.precision = Precision::kFp32;
  config.train.seed = 3;
  return config;
}

Placement whole_placement(const ModelConfig& model) {
  LayerPlacement layer;
  const auto widths = expert_widths(model.experts);
  for (std::size_t e = 0; e < widths.size(); ++e) {
    layer.slices.push_back({static_cast<int>(e), 0, 0, widths[e]});
  }
  return {std::vector<LayerPlacement>(model.num_layers, layer)};
}

Placement cut_placement(const ModelConfig& model, int ranks) {
  Placement placement;
  const auto widths = expert_widths(model.experts);
  for (int index = 0; index < model.num_layers; ++index) {
    LayerPlacement& layer = placement.layers.emplace_back();
    for (int e = 0; e < static_cast<int>(widths.size()); ++e) {
      const int rank = e % ranks;
      if (e % 2 == 0) {
        layer.slices.push_back({e, rank, 0, widths[e]});
      } else {
        layer.slices.push_back({e, rank, 0, widths[e] / 3});
        layer.slices.push_back({e, (rank + 1 + index) % ranks, widths[e] / 3, widths[e]});
      }
    }
  }
  return placement;
}

Placement replicated_placement(const ModelConfig& model, int ranks) {
  if (ranks == 1) return whole_placement(model);
  const auto widths = expert_widths(model.experts);
  LayerPlacement layer;
  layer.slices.push_back({0, 0, 0, widths[0]});
  layer.slices.push_back({1, 0, 0, 1});
  layer.slices.push_back({1, 0, 1, widths[1], 0.25});
  layer.slices.push_back({1, ranks - 1, 1, widths[1], 0.75});
  for (int expert = 2; expert < 4; ++expert) {
    for (int rank = 0; rank < ranks; ++rank) {
      const double share = 2.0 * (rank + 1) / (ranks * (ranks + 1));
      layer.slices.push_back({expert, rank, 0, widths[expert], share});
    }
  }
  return {std::vector<LayerPlacement>(model.num_layers, layer)};
}

namespace {

TrafficClasses traffic_of(const RunConfig& config, Communicator& world, DeviceGroups* devices) {
  TrafficClasses traffic(world, configured_groups(config, world.size()));
  if (devices != nullptr) traffic.move_to_gpu(*devices);
  return traffic;
}

}  // namespace

TrainingWorld::TrainingWorld(const RunConfig& config, Communicator& world,
                             const Placement& placement)
    : TrainingWorld(config, world, placement, Ownership::initial_masters(config.train.seed)) {}

TrainingWorld::TrainingWorld(const RunConfig& config, Communicator& world,
                             const Placement& placement, const Ownership::FillRows& first)
    : TrainingWorld(config, world, placement, first, nullptr) {}

TrainingWorld::TrainingWorld(const RunConfig& config, Communicator& world,
                             const Placement& placement, DeviceGroups& devices)
    : TrainingWorld(config, world, placement, Ownership::initial_masters(config.train.seed),
                    &devices) {}

TrainingWorld::TrainingWorld(const RunConfig& config, Communicator& world,
                             const Placement& placement, const Ownership::FillRows& first,
                             DeviceGroups* devices)
    : config_(config),
      traffic_(traffic_of(config, world, devices)),
      reader_(config.train.seed, config.model.vocab_size, config.train.sequence_length,
              config.train.global_batch),
      parts_(config_, traffic_, placement, reader_, clock_, first) {}

}  // namespace hetmoe::test
