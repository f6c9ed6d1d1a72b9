#include "runtime/exchange/model_export.h"

#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <utility>

#include "core/base/check.h"
#include "core/files/atomic_file.h"
#include "core/files/safetensors.h"
#include "core/model/parameter_specs.h"
#include "runtime/checkpoint/tensor_shapes.h"
#include "runtime/exchange/external_config.h"
#include "runtime/exchange/external_tensors.h"
#include "runtime/exchange/narrow_floats.h"
#include "runtime/exchange/native_code.h"
#include "runtime/exchange/new_folder.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

std::int64_t elements_of(const ExternalTensor& tensor) {
  return std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1},
                         std::multiplies<>());
}

std::int64_t bytes_of(const ExternalTensor& tensor, ExportType type) {
  return elements_of(tensor) * (type == ExportType::kFp32 ? 4 : 2);
}

/// In order, as many in a file as fit.
std::vector<std::vector<ExternalTensor>> in_files(std::vector<ExternalTensor> tensors,
                                                  const ExportOptions& options) {
  std::vector<std::vector<ExternalTensor>> files;
  std::int64_t room = 0;
  for (ExternalTensor& tensor : tensors) {
    const std::int64_t bytes = bytes_of(tensor, options.type);
    if (files.empty() || bytes > room) {
      files.emplace_back();
      room = options.most_shard_bytes;
    }
    room -= bytes;
    files.back().push_back(std::move(tensor));
  }
  return files;
}

std::string file_name(std::size_t file, std::size_t files) {
  if (files == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", file + 1, files);
  return name;
}

/// [rows, columns] into [columns, more rows]; what is beyond stays.
void transpose_into(std::span<const float> values, std::int64_t rows, std::int64_t columns,
                    std::int64_t out_columns, std::span<float> out) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      out[static_cast<std::size_t>(column * out_columns + row)] =
          values[static_cast<std::size_t>(row * columns + column)];
    }
  }
}

std::vector<float> values_of(CheckpointReader& checkpoint, const ExternalTensor& tensor) {
  std::vector<float> out(static_cast<std::size_t>(elements_of(tensor)));
  if (tensor.source.empty()) return out;
  const CheckpointTensor* source = checkpoint.find(tensor.source);
  HETMOE_CHECK(source != nullptr, "no tensor ", tensor.source);
  const std::int64_t rows = source->rows(), columns = source->columns();
  const auto count = static_cast<std::size_t>(rows * columns);
  if (!tensor.transposed) {
    HETMOE_CHECK(count <= out.size(), tensor.name, " has no room for ", tensor.source);
    checkpoint.read_rows(tensor.source, 0, rows, std::span(out).first(count));
    return out;
  }
  HETMOE_CHECK(columns == tensor.shape[0] && rows <= tensor.shape[1], "shape of ", tensor.name);
  std::vector<float> values(count);
  checkpoint.read_rows(tensor.source, 0, rows, values);
  transpose_into(values, rows, columns, tensor.shape[1], out);
  return out;
}

void write_weights(const fs::path& path, const std::vector<ExternalTensor>& tensors,
                   CheckpointReader& checkpoint, ExportType type) {
  std::vector<TensorInfo> infos;
  for (const ExternalTensor& tensor : tensors) {
    infos.push_back({.name = tensor.name,
                     .type = type == ExportType::kFp32 ? TensorType::kF32 : TensorType::kBf16,
                     .shape = tensor.shape});
  }
  SafetensorsWriter writer(path, std::move(infos));
  for (const ExternalTensor& tensor : tensors) {
    const std::vector<float> values = values_of(checkpoint, tensor);
    if (type == ExportType::kFp32) {
      writer.write(std::as_bytes(std::span(values)));
      continue;
    }
    std::vector<std::byte> narrow(2 * values.size());
    narrow_to_bf16(values, narrow);
    writer.write(narrow);
  }
  writer.finish();
}

std::string index_json(const std::vector<std::vector<ExternalTensor>>& files, std::int64_t bytes) {
  nlohmann::json map = nlohmann::json::object();
  for (std::size_t file = 0; file < files.size(); ++file) {
    for (const ExternalTensor& tensor : files[file]) {
      map[tensor.name] = file_name(file, files.size());
    }
  }
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", bytes}}}, {"weight_map", map}};
  return index.dump(2) + "\n";
}

void write_texts(const fs::path& folder, const RunConfig& config, const ExportOptions& options,
                 const ExportedModel& exported) {
  const ExternalSettings settings = {
      .longest_sequence = config.train.sequence_length,
      .begin_token = exported.tokenizer.begin_token,
      .end_token = exported.tokenizer.end_token,
      .type = options.type == ExportType::kFp32 ? "float32" : "bfloat16"};
  if (exported.external == ExternalClass::kHetmoe) {
    for (const NativeCode& code : native_code()) {
      write_file_atomically(folder / code.file_name, code.text);
    }
  }
  write_file_atomically(folder / "generation_config.json", generation_config_json(settings));
  write_file_atomically(folder / "config.json",
                        external_config_json(config.model, exported.external, settings));
}

}  // namespace

ExportedModel export_model(CheckpointReader& checkpoint, const RunConfig& config,
                           const ExportOptions& options) {
  ExportedModel exported;
  exported.external = class_for_export(config.model, options.layout);
  require_tensors(checkpoint.manifest(), tensor_shapes(config.model), /*moments=*/false,
                  checkpoint.path().string());
  NewFolder folder(options.out, options.replace);
  exported.parameters = total_parameters(config.model);
  exported.tokenizer = write_tokenizer_files(config, options.tokenizer, folder.path());
  const auto files = in_files(external_tensors(config.model, exported.external), options);
  for (const auto& file : files) {
    for (const ExternalTensor& tensor : file) {
      exported.stored_parameters += elements_of(tensor);
      exported.bytes += bytes_of(tensor, options.type);
    }
  }
  for (std::size_t file = 0; file < files.size(); ++file) {
    exported.files.push_back(file_name(file, files.size()));
    write_weights(folder.path() / exported.files.back(), files[file], checkpoint, options.type);
  }
  if (files.size() > 1) {
    write_file_atomically(folder.path() / "model.safetensors.index.json",
                          index_json(files, exported.bytes));
  }
  write_texts(folder.path(), config, options, exported);
  folder.commit();
  return exported;
}

}  // namespace hetmoe
