#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "parallel/agreement.h"
#include "parallel/placement/held_slices.h"
#include "tests/support/gradient_check.h"
#include "tests/support/mpi_world.h"
#include "tests/support/saved_checkpoint.h"
#include "tests/support/shared_folder.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {

/// A model of about a thousand parameters that a run in groups of seven ranks has saved.
inline RunConfig small_model() {
  RunConfig config = small_training();
  config.data.train = "random";
  config.evaluate.every_steps = 0;
  config.evaluate.tokens = 30;
  config.parallel.threads = 1;
  config.parallel.expert_group_size = 7;  // of the run that saved
  config.placement.granularity = 2;       // experts are cut
  return config;
}

/// Every tensor with values of its own, far from those that training begins with.
inline void fill(ParameterStore& store) {
  for (const TensorSpec& spec : store.dense_specs()) {
    at::Tensor value = store.dense(spec.name).value;
    value.copy_(test_values(spec.name.c_str(), value.sizes(), 0.3));
    if (!spec.is_matrix) value.add_(1);
  }
  for (int layer = 0; layer < store.num_layers(); ++layer) {
    const std::string name = "layer " + std::to_string(layer);
    at::Tensor& values = store.slice_values(layer);
    values.copy_(test_values(name.c_str(), values.sizes(), 0.3));
  }
}

inline ParameterStore whole_store(const RunConfig& config, at::ScalarType type = at::kFloat) {
  return {config.model, slices_of_rank(whole_placement(config.model), 0), type};
}

/// A run directory that rank 0 fills.
class SavedRun : public SharedFolder {
 public:
  void save(const CheckpointToSave& checkpoint) const {
    collectively(test_world(), [&] {
      if (test_world().rank() == 0) save_checkpoint(path(), checkpoint);
    });
  }
};

}  // namespace hetmoe::test
