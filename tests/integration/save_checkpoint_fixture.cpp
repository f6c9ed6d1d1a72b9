// save_checkpoint_fixture CONFIG RUN_DIR STEP FILES: a checkpoint of a model with its initial
// values, for tests of the commands that read one.

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "core/model/initial_values.h"
#include "tests/support/saved_checkpoint.h"

namespace {

using namespace hetmoe;

void initialize(const at::Tensor& value, const std::string& name, const Initial& initial,
                std::uint64_t seed) {
  const std::int64_t columns = value.dim() > 1 ? value.size(1) : 1;
  initial_rows(seed, name, initial, 0, columns,
               {value.mutable_data_ptr<float>(), static_cast<std::size_t>(value.numel())});
}

void initialize(ParameterStore& store, const RunConfig& config) {
  for (const TensorSpec& spec : store.dense_specs()) {
    initialize(store.dense(spec.name).value, spec.name, spec.initial, config.train.seed);
  }
  for (int layer = 0; layer < store.num_layers(); ++layer) {
    const std::string name = "layers." + std::to_string(layer) + ".experts";
    initialize(store.slice_values(layer), name, store.expert_initial(), config.train.seed);
  }
}

std::vector<Slice> whole_experts(const ModelConfig& model) {
  std::vector<Slice> slices;
  const auto widths = expert_widths(model.experts);
  for (int layer = 0; layer < model.num_layers; ++layer) {
    for (int expert = 0; expert < model.experts.count; ++expert) {
      slices.push_back({layer, expert, 0, widths[expert]});
    }
  }
  return slices;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) {
    std::fprintf(stderr, "usage: save_checkpoint_fixture CONFIG RUN_DIR STEP FILES\n");
    return 2;
  }
  try {
    const RunConfig config = load_run_config(arguments[1], {});
    ParameterStore store(config.model, whole_experts(config.model), at::kFloat);
    initialize(store, config);
    test::save_checkpoint(arguments[2], {.config = config,
                                         .parameters = store,
                                         .step = std::stoll(arguments[3]),
                                         .files = std::stoi(arguments[4])});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
