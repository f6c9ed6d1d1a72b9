#include "core/data/tokenizer_files.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/tokenizer.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModel = "tokenizer.model";
constexpr const char* kJson = "tokenizer.json";
constexpr const char* kConfig = "tokenizer_config.json";
constexpr std::array kNamesOfEnd = {kConfig, "special_tokens_map.json", "generation_config.json"};

void copy_to(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (error) {
    throw StorageError("cannot copy '" + from.string() + "' to '" + to.string() +
                       "': " + error.message());
  }
}

/// Sets eos_token in a tokenizer_config.json, which may be missing.
void name_end_of_document(const fs::path& path, const std::string& token) {
  nlohmann::ordered_json config = nlohmann::ordered_json::object();
  if (fs::exists(path)) {
    std::ifstream file(path, std::ios::binary);
    config = nlohmann::ordered_json::parse(file, nullptr, /*allow_exceptions=*/false);
    if (!config.is_object()) throw StorageError(path.string() + ": not a JSON object");
  }
  config["eos_token"] = token;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  // A token that is not UTF-8 is in no vocabulary; the tokenizer says so.
  file << config.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
  file.close();
  if (!file) throw StorageError("cannot write '" + path.string() + "'");
}

}  // namespace

std::string tokenizer_beside(const std::string& shard_prefix, const std::string& name) {
  const fs::path folder = fs::path(shard_prefix).parent_path();
  if (name == "bytes") return name;
  if (name == "sentencepiece") return (folder / kModel).string();
  if (name == "huggingface") return (folder / kJson).string();
  throw StorageError(shard_prefix + ".json: 'tokenizer' is '" + name.substr(0, 80) +
                     "', expected bytes, sentencepiece or huggingface");
}

void put_tokenizer_files(const std::string& tokenizer, const std::string& end_of_document,
                         const std::string& folder) {
  const std::string source = tokenizer == "bytes" ? tokenizer : tokenizer_file(tokenizer);
  const bool is_json = source != "bytes" && is_tokenizer_json(source);
  if (!end_of_document.empty() && !is_json) {
    throw ConfigError("end of document is '" + end_of_document +
                      "', allowed with a tokenizer.json only: '" + tokenizer + "' has its own");
  }
  if (source == "bytes") return;
  copy_to(source, fs::path(folder) / (is_json ? kJson : kModel));
  if (!is_json) return;
  for (const char* name : kNamesOfEnd) {
    const fs::path beside = fs::path(source).parent_path() / name;
    if (fs::exists(beside)) copy_to(beside, fs::path(folder) / name);
  }
  if (!end_of_document.empty()) name_end_of_document(fs::path(folder) / kConfig, end_of_document);
}

}  // namespace hetmoe
