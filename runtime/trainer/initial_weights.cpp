#include "runtime/trainer/initial_weights.h"

#include <utility>

#include "core/base/error.h"
#include "parallel/agreement.h"
#include "runtime/checkpoint/tensor_shapes.h"
#include "runtime/config_difference.h"

namespace hetmoe {
namespace {

/// Gives what the weights will mean otherwise here. Errors: ConfigError.
std::vector<std::string> require_shape(const CheckpointReader& checkpoint,
                                       const RunConfig& config) {
  const std::string source = checkpoint.path().string();
  const RunConfig saved = parse_run_config(checkpoint.manifest().state.config, source, {});
  const ModelDifferences found = model_differences(saved, config);
  if (!found.shape.empty()) {
    throw ConfigError("--init " + source + ": " + found.shape.front().text() +
                      ", allowed: a model of the same shape");
  }
  require_tensors(checkpoint.manifest(), tensor_shapes(config.model), /*moments=*/false, source);
  std::vector<std::string> notes;
  for (const ConfigDifference& difference : found.meaning) {
    notes.push_back("the weights of --init were trained otherwise: " + difference.text());
  }
  return notes;
}

}  // namespace

void open_initial_weights(const std::string& path, const RunConfig& config, Communicator& control,
                          ResumePoint& point) {
  ResumePoint named = open_named(path, control);
  collectively(control, [&] { point.notes = require_shape(*named.checkpoint, config); });
  point.weights.emplace(std::move(*named.checkpoint));
}

void read_masters(CheckpointReader& checkpoint, OwnedRows& rows) {
  checkpoint.read_rows(
      rows.name, rows.row_begin, rows.row_end,
      {rows.master.mutable_data_ptr<float>(), static_cast<std::size_t>(rows.master.numel())});
}

}  // namespace hetmoe
