#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/files/safetensors.h"

namespace hetmoe {

/// The weights of a model's folder: model.safetensors, or the files that
/// model.safetensors.index.json names. Nothing in them is trusted: an index may name files of the
/// folder only, and must agree with them tensor by tensor.
/// Errors: StorageError that names the file and what is wrong.
class ExternalWeights {
 public:
  /// Reads headers, not data; keeps all files open.
  explicit ExternalWeights(const std::filesystem::path& folder);

  const std::string& folder() const { return folder_; }
  bool has(const std::string& name) const { return tensors_.contains(name); }
  const std::vector<std::int64_t>& shape(const std::string& name) const;
  std::vector<std::string> names() const;

  /// Elements [begin, begin + out.size()) of a tensor of F32, BF16 or F16, row-major, exactly.
  /// Blocking: the disk.
  void read(const std::string& name, std::int64_t begin, std::span<float> out) const;

 private:
  struct Place {
    std::size_t file;
    const TensorInfo* tensor;
  };

  void add_file(const std::filesystem::path& path, const std::vector<std::string>* listed);
  const Place& place(const std::string& name) const;

  std::string folder_;
  std::vector<SafetensorsReader> files_;
  std::map<std::string, Place> tensors_;
};

}  // namespace hetmoe
