#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/model/model_config.h"
#include "runtime/exchange/external_class.h"
#include "runtime/exchange/upcycling.h"

namespace hetmoe {

struct ImportOptions {
  std::filesystem::path folder;  ///< with config.json and weights as safetensors
  std::filesystem::path out;
  std::optional<Upcycling> upcycling;  ///< of a dense model
};

struct ImportedModel {
  ExternalClass external = ExternalClass::kLlama;
  ModelConfig model;
  std::int64_t parameters = 0;
  std::vector<std::string> tokenizer_files;
};

/// Makes a folder that `--init` takes, and `evaluate`, `generate`, `checkpoint`: the weights as
/// fp32 masters without moments in checkpoints/step-00000000, and beside it config.yaml with the
/// model, and the tokenizer's files. A run cannot be gone on with from it: it has no moments.
/// Memory: four times the largest tensor. Blocking: the disk. The folder appears whole or not at
/// all. Errors: StorageError for what another program wrote, ConfigError for options.
ImportedModel import_model(const ImportOptions& options);

}  // namespace hetmoe
