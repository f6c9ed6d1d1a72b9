#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/checkpoint/manifest.h"

namespace hetmoe {

/// Rows of one tensor that a rank owns, on their way into a file.
struct ShardRows {
  std::string tensor;               ///< global name, moments with their prefix
  std::vector<std::int64_t> shape;  ///< of the whole tensor
  std::int64_t begin = 0;           ///< rows [begin, end)
  std::int64_t end = 0;
  const float* values = nullptr;  ///< row-major; not owned
};

/// What one rank has written, for the manifest.
struct WrittenShard {
  CheckpointFile file;
  std::map<std::string, CheckpointTensor> tensors;  ///< this file's parts only
};

/// "shard-00003.safetensors". The number says who wrote it and nothing more: what it holds stands
/// in its keys and in the manifest.
std::string shard_file_name(int rank);

/// Writes and syncs `folder`/`name`. Blocking: the disk; made for a thread of its own. A file that
/// fails is removed. Errors: StorageError that names it.
WrittenShard write_shard(const std::filesystem::path& folder, const std::string& name,
                         const std::vector<ShardRows>& rows);

/// A shard as text, to be sent to rank 0, and back. Errors: InternalError for another's text.
std::string shard_text(const WrittenShard& shard);
WrittenShard shard_of_text(std::string_view text);

/// Adds the shard's file and parts. Parts may come in any order; sort_parts puts them in that of
/// the rows once all are there.
void add_shard(const WrittenShard& shard, Manifest& manifest);
void sort_parts(Manifest& manifest);

}  // namespace hetmoe
