#include "tests/support/saved_checkpoint.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "core/files/safetensors.h"
#include "parallel/placement/plan_json.h"
#include "parallel/placement/planner.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/trainer/initial_plan.h"

namespace hetmoe::test {
namespace {

/// Global tensors by name, as views [rows, columns] or [rows].
std::map<std::string, at::Tensor> tensors_of(const RunConfig& config, ParameterStore& store) {
  std::map<std::string, at::Tensor> tensors;
  for (const TensorSpec& spec : store.dense_specs()) {
    tensors[spec.name] = store.dense(spec.name).value;
  }
  for (int layer = 0; layer < config.model.num_layers; ++layer) {
    for (std::size_t i = 0; i < store.layer_slices(layer).size(); ++i) {
      const Slice& slice = store.layer_slices(layer)[i];
      const SliceWeights& weights = store.layer_weights(layer)[i];
      const auto name = [&](ExpertMatrix matrix) {
        return expert_tensor_name(layer, slice.expert, matrix);
      };
      tensors[name(ExpertMatrix::kGate)] = weights.gate_up.narrow(0, 0, slice.width());
      tensors[name(ExpertMatrix::kUp)] = weights.gate_up.narrow(0, slice.width(), slice.width());
      tensors[name(ExpertMatrix::kDown)] = weights.down;
    }
  }
  return tensors;
}

/// Rows of file `file` end here; the cuts differ from tensor to tensor.
std::int64_t end_of_file(std::int64_t rows, int file, int files, std::size_t tensor) {
  if (file + 1 == files) return rows;
  return std::min<std::int64_t>(
      rows, rows * (file + 1) / (files + 1) + static_cast<std::int64_t>(tensor % 3));
}

std::string file_name(int file) { return "rank-" + std::to_string(file) + ".safetensors"; }

TensorInfo info_of(const TensorPart& part, std::vector<std::int64_t> shape) {
  TensorInfo info;
  info.name = part.key;
  info.shape = std::move(shape);
  info.shape.front() = part.row_end - part.row_begin;
  return info;
}

/// The parts of one file, in the order of its data.
CheckpointFile write_file(const std::filesystem::path& folder, const std::string& name,
                          const std::map<std::string, at::Tensor>& tensors,
                          const Manifest& manifest) {
  std::vector<TensorInfo> infos;
  std::vector<at::Tensor> values;
  for (const auto& [tensor, value] : tensors) {
    for (const TensorPart& part : manifest.tensors.at(tensor).parts) {
      if (part.file != name) continue;
      infos.push_back(info_of(part, manifest.tensors.at(tensor).shape));
      values.push_back(value.narrow(0, part.row_begin, part.row_end - part.row_begin));
    }
  }
  SafetensorsWriter writer(folder / name, infos);
  for (const at::Tensor& value : values) {
    writer.write({static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()});
  }
  const WrittenFile written = writer.finish();
  return {name, written.bytes, written.digest};
}

CheckpointState state_of(const RunConfig& config, int files) {
  CheckpointState state;
  state.sampler_seed = config.train.seed;
  state.ranks = files;
  state.expert_group_size = files;
  // Loads that are not even: expert 0 is the hottest.
  std::vector<std::int64_t> load(static_cast<std::size_t>(config.model.experts.count));
  for (std::size_t i = 0; i < load.size(); ++i) load[i] = 100 / static_cast<std::int64_t>(i + 1);
  state.loads.assign(static_cast<std::size_t>(config.model.num_layers), load);
  const PlanProblem problem = uniform_problem(config, ExpertGroups::of_world(files, 0));
  state.plan = write_plan(plan(problem, PlanStrategy::kWhole));
  state.config = resolved_yaml(config);
  return state;
}

}  // namespace

std::filesystem::path save_checkpoint(const std::filesystem::path& run_directory,
                                      const CheckpointToSave& checkpoint) {
  const auto tensors = tensors_of(checkpoint.config, checkpoint.parameters);
  const int files = checkpoint.files;
  Manifest manifest;
  manifest.step = checkpoint.step;
  std::size_t index = 0;
  for (const auto& [name, value] : tensors) {
    CheckpointTensor& tensor = manifest.tensors[name];
    tensor.shape.assign(value.sizes().begin(), value.sizes().end());
    std::int64_t begin = 0;
    for (int file = 0; file < files; ++file) {
      const std::int64_t end = end_of_file(value.size(0), file, files, index);
      if (begin < end) {
        tensor.parts.push_back({begin, end, file_name(file), part_key(name, begin, end)});
      }
      begin = std::max(begin, end);
    }
    ++index;
  }
  const CheckpointFolder folder(run_directory / "checkpoints");
  const std::filesystem::path path = folder.begin(checkpoint.step);
  for (int file = 0; file < files; ++file) {
    manifest.files.push_back(write_file(path, file_name(file), tensors, manifest));
  }
  manifest.state = state_of(checkpoint.config, files);
  folder.commit(manifest);
  return path;
}

}  // namespace hetmoe::test
