#pragma once

#include <string>
#include <vector>

#include "runtime/run_config.h"

namespace hetmoe {

/// A key that must not change between a checkpoint and the run that goes on from it. Values as
/// YAML.
struct ConfigDifference {
  std::string key;
  std::string saved;
  std::string now;

  /// "model.hidden_size: 128 in the checkpoint, 256 here".
  std::string text() const;

  friend bool operator==(const ConfigDifference&, const ConfigDifference&) = default;
};

/// What keeps a run with configuration `now` from going on from a checkpoint with `saved`, in the
/// order of the keys; empty: nothing. May change: train.steps, the learning rate and its schedule,
/// train.source_weights, the limits at which a run ends by itself, and all of evaluate, parallel,
/// placement, checkpoint, coordinator, metrics and topology. Every other key of the listing must be
/// the same, one that is added later too; but train.precision auto stands for what the checkpoint
/// has.
std::vector<ConfigDifference> forbidden_differences(const RunConfig& saved, const RunConfig& now);

/// What two models differ in, each list in the order of the keys.
struct ModelDifferences {
  std::vector<ConfigDifference> shape;    ///< weights of the one are none of the other's
  std::vector<ConfigDifference> meaning;  ///< the same weights compute something else
};

/// For a run `now` that begins with the weights of `saved`. Compared is what comes out: the widths
/// of the experts and not the keys that make them, the features of a head, nothing of hyper where
/// it is not enabled. What only training asks of a model (initial values, coefficients of losses,
/// forced routing, memory limits) is free. Every other key of model is shape, one that is added
/// later too.
ModelDifferences model_differences(const RunConfig& saved, const RunConfig& now);

}  // namespace hetmoe
