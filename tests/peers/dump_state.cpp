// hetmoe_dump_state CONFIG [--text FILE] [--set a.b=c]... --out DIR --steps N
//
// Writes what a peer needs to train the same model on the same tokens: the configuration, the
// initial values of the whole model and the batches of N steps. training_state.py says how the
// folder looks. --text: the data is this file, one token per byte, instead of data.train.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/config/field.h"
#include "core/data/random_batch_reader.h"
#include "core/data/shard_batch_reader.h"
#include "core/data/token_shard.h"
#include "core/model/initial_values.h"
#include "core/model/parameter_specs.h"
#include "runtime/run_config.h"
#include "tests/support/byte_shard.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

struct DumpOptions {
  std::string config;
  std::string text;
  std::vector<std::string> settings;
  std::filesystem::path out;
  std::int64_t steps = 0;
};

class OutputArray {
 public:
  explicit OutputArray(const std::filesystem::path& path)
      : path_(path), file_(path, std::ios::binary) {}

  template <typename Value>
  void append(const std::vector<Value>& values) {
    static_assert(sizeof(Value) == 4);
    file_.write(reinterpret_cast<const char*>(values.data()),
                static_cast<std::streamsize>(values.size() * sizeof(Value)));
  }
  void finish() {
    file_.close();
    if (!file_) throw StorageError("cannot write " + path_.string());
  }

 private:
  std::filesystem::path path_;
  std::ofstream file_;
};

Json value_of(const EnumReference& field) { return field.words.at(field.get(field.target)); }
template <typename Value>
Json value_of(const Value* field) {
  return *field;
}

/// "model.experts.count" becomes {"model": {"experts": {"count": ...}}}.
Json nested(RunConfig config) {
  Json document = Json::object();
  for (const Field& field : list_fields(config)) {
    std::string pointer = "/" + field.key;
    std::replace(pointer.begin(), pointer.end(), '.', '/');
    document[Json::json_pointer(pointer)] =
        std::visit([](const auto& value) { return value_of(value); }, field.value);
  }
  return document;
}

/// All tensors, dense ones first.
std::vector<TensorSpec> tensors_of(const ModelConfig& model) {
  std::vector<TensorSpec> tensors = dense_tensor_specs(model);
  const auto widths = expert_widths(model.experts);
  for (int layer = 0; layer < model.num_layers; ++layer) {
    for (int expert = 0; expert < static_cast<int>(widths.size()); ++expert) {
      for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
        tensors.push_back(
            {.name = expert_tensor_name(layer, expert, static_cast<ExpertMatrix>(matrix)),
             .rows = widths[expert],
             .columns = model.hidden_size,
             .initial = initial_of_experts(model)});
      }
    }
  }
  return tensors;
}

Json write_parameters(const RunConfig& config, const std::filesystem::path& folder) {
  OutputArray file(folder / "parameters.f32");
  Json tensors = Json::array();
  std::int64_t offset = 0;
  for (const TensorSpec& spec : tensors_of(config.model)) {
    std::vector<float> values(spec.elements());
    initial_rows(config.train.seed, spec.name, spec.initial, 0, spec.columns, values);
    file.append(values);
    const Json shape = spec.is_matrix ? Json{spec.rows, spec.columns} : Json{spec.rows};
    tensors.push_back({{"name", spec.name}, {"shape", shape}, {"offset_floats", offset}});
    offset += spec.elements();
  }
  file.finish();
  return tensors;
}

std::unique_ptr<BatchReader> open_reader(const RunConfig& config) {
  const TrainConfig& train = config.train;
  if (config.data.train == "random") {
    return std::make_unique<RandomBatchReader>(train.seed, config.model.vocab_size,
                                               train.sequence_length, train.global_batch);
  }
  return std::make_unique<ShardBatchReader>(
      std::make_shared<const TokenShard>(TokenShard::open(config.data.train)),
      ShardReaderOptions{.seed = train.seed,
                         .sequence_length = train.sequence_length,
                         .global_batch = train.global_batch,
                         .vocab_size = config.model.vocab_size,
                         .attention_across_documents = config.data.attention_across_documents});
}

void write_batches(const RunConfig& config, const DumpOptions& options) {
  const auto reader = open_reader(config);
  OutputArray inputs(options.out / "inputs.i32");
  OutputArray targets(options.out / "targets.i32");
  OutputArray document_begin(options.out / "document_begin.i32");
  std::vector<std::int64_t> places(config.train.global_batch);
  std::iota(places.begin(), places.end(), 0);
  Batch batch;
  for (std::int64_t step = 1; step <= options.steps; ++step) {
    reader->read(step, places, batch);
    inputs.append(batch.inputs);
    targets.append(batch.targets);
    document_begin.append(batch.document_begin);
  }
  inputs.finish();
  targets.finish();
  document_begin.finish();
}

void dump(const DumpOptions& options) {
  std::vector<std::string> settings = options.settings;
  std::filesystem::create_directories(options.out);
  if (!options.text.empty()) {
    const std::filesystem::path shard = options.out / "shard";
    std::filesystem::create_directory(shard);
    settings.push_back("data.train=" + prepare_byte_shard(options.text, shard.string()));
  }
  const RunConfig config = load_run_config(options.config, settings);
  Json state;
  state["config"] = nested(config);
  state["tensors"] = write_parameters(config, options.out);
  state["steps"] = options.steps;
  state["batches"] = {{"global_batch", config.train.global_batch},
                      {"sequence_length", config.train.sequence_length},
                      {"microbatches", config.train.microbatches}};
  write_batches(config, options);
  std::ofstream file(options.out / "state.json");
  file << state.dump(1) << '\n';
  file.close();
  if (!file) throw StorageError("cannot write " + (options.out / "state.json").string());
}

}  // namespace
}  // namespace hetmoe

int main(int argc, char** argv) {
  hetmoe::DumpOptions options;
  CLI::App app("Write a run's configuration, initial values and batches for a peer");
  app.add_option("CONFIG", options.config, "Configuration file")->required();
  app.add_option("--text", options.text, "Train on the bytes of this file");
  app.add_option("--set", options.settings, "a.b=c")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--out", options.out, "Folder to write, without an earlier dump")->required();
  app.add_option("--steps", options.steps, "Batches to write")
      ->required()
      ->check(CLI::Range(1, 1000000));
  CLI11_PARSE(app, argc, argv);
  try {
    hetmoe::dump(options);
  } catch (const hetmoe::Error& error) {
    std::cerr << "hetmoe_dump_state: " << error.what() << '\n';
    return static_cast<int>(error.exit_code());
  } catch (const std::exception& error) {
    std::cerr << "hetmoe_dump_state: " << error.what() << '\n';
    return static_cast<int>(hetmoe::ExitCode::kInternal);
  }
  return 0;
}
