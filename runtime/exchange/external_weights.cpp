#include "runtime/exchange/external_weights.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "runtime/exchange/narrow_floats.h"
#include "runtime/exchange/text_file.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr std::int64_t kLongestIndex = std::int64_t{256} << 20;
constexpr std::size_t kMostFiles = 4096;  // open at once; the limit of a process is the system's

std::string quoted(const std::string& text) {
  return json(text.substr(0, 100)).dump(-1, ' ', true, json::error_handler_t::replace);
}

/// Of the folder itself: no separator, no "..", nothing hidden.
bool is_plain_name(const std::string& name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.front() != '.' && std::ranges::all_of(name, plain);
}

using Files = std::map<std::string, std::vector<std::string>>;  ///< tensors by file

Files read_index(const fs::path& path) {
  const std::string file = path.string();
  const json root = json::parse(read_text_file(path, kLongestIndex), nullptr, false);
  if (!root.is_object() || !root.contains("weight_map") || !root.at("weight_map").is_object()) {
    throw StorageError(file + ": is no JSON object with an object weight_map");
  }
  Files files;
  for (const auto& [tensor, name] : root.at("weight_map").items()) {
    if (!name.is_string() || !is_plain_name(name.get<std::string>())) {
      throw StorageError(file + ": weight_map: " + quoted(tensor) + " is in " +
                         quoted(name.is_string() ? name.get<std::string>() : name.dump()) +
                         ", allowed: a file of this folder");
    }
    files[name.get<std::string>()].push_back(tensor);
  }
  if (files.size() > kMostFiles) {
    throw StorageError(
        detail::concatenate(file, ": names ", files.size(), " files, allowed: ", kMostFiles));
  }
  return files;
}

}  // namespace

ExternalWeights::ExternalWeights(const fs::path& folder) : folder_(folder.string()) {
  const fs::path index = folder / kIndexName;
  std::error_code failure;
  if (fs::exists(index, failure)) {
    const Files files = read_index(index);
    files_.reserve(files.size());
    for (const auto& [name, tensors] : files) add_file(folder / name, &tensors);
  } else if (fs::exists(folder / kSingleName, failure)) {
    files_.reserve(1);
    add_file(folder / kSingleName, nullptr);
  } else {
    throw StorageError("'" + folder_ + "' holds no weights, allowed: " + kSingleName + " or " +
                       kIndexName);
  }
}

void ExternalWeights::add_file(const fs::path& path, const std::vector<std::string>* listed) {
  const SafetensorsReader& file = files_.emplace_back(path);
  std::set<std::string> missing;
  if (listed != nullptr) missing.insert(listed->begin(), listed->end());
  for (const TensorInfo& tensor : file.header().tensors) {
    if (listed != nullptr && missing.erase(tensor.name) == 0) {
      throw StorageError(path.string() + ": tensor " + quoted(tensor.name) + " is not in " +
                         kIndexName);
    }
    tensors_[tensor.name] = {files_.size() - 1, &tensor};
  }
  if (!missing.empty()) {
    throw StorageError(path.string() + ": tensor " + quoted(*missing.begin()) +
                       " is missing, which " + kIndexName + " says it holds");
  }
}

const ExternalWeights::Place& ExternalWeights::place(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw StorageError("'" + folder_ + "': tensor " + name + " is missing, the model needs it");
  }
  return found->second;
}

const std::vector<std::int64_t>& ExternalWeights::shape(const std::string& name) const {
  return place(name).tensor->shape;
}

std::vector<std::string> ExternalWeights::names() const {
  std::vector<std::string> names;
  for (const auto& [name, ignored] : tensors_) names.push_back(name);
  return names;
}

void ExternalWeights::read(const std::string& name, std::int64_t begin,
                           std::span<float> out) const {
  const auto& [index, tensor] = place(name);
  const SafetensorsReader& file = files_[index];
  if (!is_float_type(tensor->type)) {
    throw StorageError(file.path().string() + ": tensor " + quoted(name) + " is " +
                       std::string(type_name(tensor->type)) + ", allowed: F32, BF16, F16");
  }
  const std::int64_t bytes = bits_of(tensor->type) / 8;
  HETMOE_CHECK(begin >= 0 && std::cmp_less_equal(out.size(), tensor->bytes() / bytes - begin),
               "elements ", begin, " and ", out.size(), " more of ", name);
  if (tensor->type == TensorType::kF32) {
    file.read(*tensor, begin * bytes, std::as_writable_bytes(out));
    return;
  }
  std::vector<std::byte> narrow(out.size() * static_cast<std::size_t>(bytes));
  file.read(*tensor, begin * bytes, narrow);
  widen(narrow, tensor->type, out);
}

}  // namespace hetmoe
