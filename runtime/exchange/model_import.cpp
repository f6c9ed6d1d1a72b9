#include "runtime/exchange/model_import.h"

#include <functional>
#include <map>
#include <span>
#include <utility>

#include "core/base/error.h"
#include "core/config/field.h"
#include "core/config/printer.h"
#include "core/files/atomic_file.h"
#include "core/files/safetensors.h"
#include "core/model/initial_values.h"
#include "core/model/parameter_specs.h"
#include "parallel/placement/plan_json.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/shard_file.h"
#include "runtime/checkpoint/tensor_shapes.h"
#include "runtime/exchange/external_config.h"
#include "runtime/exchange/external_weights.h"
#include "runtime/exchange/imported_tensors.h"
#include "runtime/exchange/new_folder.h"
#include "runtime/exchange/text_file.h"
#include "runtime/exchange/tokenizer_files.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLongestConfig = std::int64_t{1} << 20;

/// The configuration that the checkpoint holds: what a run would have that trained it. Loss and
/// text are computed in fp32, as they were stored. Errors: StorageError for a model whose sizes do
/// not fit together.
RunConfig run_config_of(const ModelConfig& model, const std::string& source) {
  RunConfig config;
  config.model = model;
  config.data.train = "random";
  config.evaluate.every_steps = 0;
  config.train.precision = Precision::kFp32;
  const std::vector<ConfigFault> faults = validate(config);
  if (faults.empty()) return config;
  throw StorageError(source + ": as " + faults.front().key + ": " + faults.front().message);
}

/// Gives the values of one of our tensors, by its name.
using Values = std::function<std::vector<float>(const std::string& name)>;

Values values_as_they_are(const std::vector<ImportedTensor>& tensors,
                          const ExternalWeights& weights) {
  std::map<std::string, ImportedTensor> by_name;
  for (const ImportedTensor& tensor : tensors) by_name.emplace(tensor.name, tensor);
  return [by_name = std::move(by_name), &weights](const std::string& name) {
    return read_imported(by_name.at(name), weights);
  };
}

/// One matrix of one expert.
struct ExpertPart {
  int layer, expert;
  ExpertMatrix matrix;
};

std::map<std::string, ExpertPart> expert_parts(const ModelConfig& model) {
  std::map<std::string, ExpertPart> parts;
  for (int layer = 0; layer < model.num_layers; ++layer) {
    for (int expert = 0; expert < model.experts.count; ++expert) {
      for (const auto matrix : {ExpertMatrix::kGate, ExpertMatrix::kUp, ExpertMatrix::kDown}) {
        parts[expert_tensor_name(layer, expert, matrix)] = {layer, expert, matrix};
      }
    }
  }
  return parts;
}

Values upcycled_values(Values dense, const ModelConfig& dense_model, const ModelConfig& model,
                       const Upcycling& upcycling) {
  std::map<std::string, Initial> routers;
  for (const TensorSpec& spec : dense_tensor_specs(model)) {
    if (spec.name.ends_with(".router")) routers[spec.name] = spec.initial;
  }
  return [=, parts = expert_parts(model)](const std::string& name) {
    if (const auto router = routers.find(name); router != routers.end()) {
      std::vector<float> values(static_cast<std::size_t>(model.experts.count * model.hidden_size));
      initial_rows(upcycling.seed, name, router->second, 0, model.hidden_size, values);
      return values;
    }
    const auto part = parts.find(name);
    if (part == parts.end()) return dense(name);
    const auto& [layer, expert, matrix] = part->second;
    const double scale = matrix == ExpertMatrix::kDown
                             ? down_scale(upcycling, expert, dense_model.experts.widths.front())
                             : 1.0;
    return wrapped_rows(dense(expert_tensor_name(layer, 0, matrix)), model.hidden_size,
                        first_unit(upcycling, expert),
                        upcycling.widths[static_cast<std::size_t>(expert)], scale);
  };
}

/// Whole experts on one rank.
std::string plan_of(const ModelConfig& model) {
  const auto widths = expert_widths(model.experts);
  LayerPlacement layer;
  for (std::size_t expert = 0; expert < widths.size(); ++expert) {
    layer.slices.push_back(
        {.expert = static_cast<int>(expert), .rank = 0, .begin = 0, .end = widths[expert]});
  }
  const auto layers = static_cast<std::size_t>(model.num_layers);
  Plan plan;
  plan.placement.layers.assign(layers, layer);
  plan.layers.assign(layers, LayerCost());
  return write_plan(plan);
}

/// One file, tensor after tensor, in the order of `shapes`.
WrittenShard write_masters(const fs::path& folder, const TensorShapes& shapes,
                           const Values& values) {
  WrittenShard shard;
  const std::string file = shard_file_name(0);
  std::vector<TensorInfo> infos;
  for (const auto& [name, shape] : shapes) {
    const std::string key = part_key(name, 0, shape.front());
    infos.push_back({.name = key, .type = TensorType::kF32, .shape = shape});
    shard.tensors[name] = {.shape = shape, .parts = {{0, shape.front(), file, key}}};
  }
  SafetensorsWriter writer(folder / file, std::move(infos));
  for (const auto& [name, ignored] : shapes) {
    const std::vector<float> all = values(name);
    writer.write(std::as_bytes(std::span(all)));
  }
  const WrittenFile written = writer.finish();
  shard.file = {.name = file, .bytes = written.bytes, .digest = written.digest};
  return shard;
}

void write_checkpoint(const fs::path& run_directory, const RunConfig& config,
                      const Values& values) {
  const CheckpointFolder folder(run_directory / "checkpoints");
  Manifest manifest;
  add_shard(write_masters(folder.begin(manifest.step), tensor_shapes(config.model), values),
            manifest);
  CheckpointState& state = manifest.state;
  state.sampler_seed = config.train.seed;
  state.loads.assign(
      static_cast<std::size_t>(config.model.num_layers),
      std::vector<std::int64_t>(static_cast<std::size_t>(config.model.experts.count)));
  state.ranks = 1;
  state.expert_group_size = 1;
  state.plan = plan_of(config.model);
  state.config = resolved_yaml(config);
  folder.commit(manifest);
}

/// A configuration of the model alone.
struct ModelSection {
  ModelConfig model;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.section("model", model);
  }
};

std::string training_yaml(const ModelConfig& model, const ImportOptions& options) {
  ModelSection section{model};
  return "# The model of " + options.folder.lexically_normal().string() +
         ", to be trained on:\n#   hetmoe train config.yaml --init . --set data.train=PREFIX\n" +
         yaml_document(list_fields(section)) +
         "train:\n  precision: fp32     # as the first loss is compared; bf16 is faster on many "
         "processors\n  learning_rate: 1.0e-4\nevaluate:\n  every_steps: 0      # with data.valid: "
         "200, say\n";
}

}  // namespace

ImportedModel import_model(const ImportOptions& options) {
  const fs::path file = options.folder / "config.json";
  const ImportedConfig read =
      read_external_config(read_text_file(file, kLongestConfig), file.string());
  if (options.upcycling && read.external != ExternalClass::kLlama) {
    throw ConfigError("--upcycle-widths: " + options.folder.string() + " is a " +
                      std::string(model_type_of(read.external)) + ", allowed: a dense llama");
  }
  run_config_of(read.model, file.string());
  const ExternalWeights weights(options.folder);
  Values values = values_as_they_are(imported_tensors(read.model, read.external, weights), weights);
  RunConfig config = run_config_of(read.model, file.string());
  if (options.upcycling) {
    config = run_config_of(upcycled_model(read.model, *options.upcycling), "--upcycle-widths");
    values = upcycled_values(std::move(values), read.model, config.model, *options.upcycling);
  }
  NewFolder folder(options.out, /*replace=*/false);
  ImportedModel imported{.external = read.external,
                         .model = config.model,
                         .parameters = total_parameters(config.model),
                         .tokenizer_files = copy_tokenizer_files(options.folder, folder.path())};
  write_checkpoint(folder.path(), config, values);
  write_file_atomically(folder.path() / "config.yaml", training_yaml(config.model, options));
  folder.commit();
  return imported;
}

}  // namespace hetmoe
