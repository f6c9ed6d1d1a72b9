#include "runtime/checkpoint/shard_file.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>

#include "core/base/check.h"
#include "core/files/safetensors.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

std::int64_t columns_of(const ShardRows& rows) { return rows.shape.size() > 1 ? rows.shape[1] : 1; }

TensorInfo info_of(const ShardRows& rows) {
  std::vector<std::int64_t> shape = rows.shape;
  shape.front() = rows.end - rows.begin;
  return {.name = part_key(rows.tensor, rows.begin, rows.end),
          .type = TensorType::kF32,
          .shape = std::move(shape)};
}

}  // namespace

std::string shard_file_name(int rank) {
  char name[32];
  std::snprintf(name, sizeof(name), "shard-%05d.safetensors", rank);
  return name;
}

WrittenShard write_shard(const std::filesystem::path& folder, const std::string& name,
                         const std::vector<ShardRows>& rows) {
  std::vector<TensorInfo> tensors;
  for (const ShardRows& part : rows) tensors.push_back(info_of(part));
  SafetensorsWriter writer(folder / name, std::move(tensors));
  WrittenShard shard;
  for (const ShardRows& part : rows) {
    const auto count = static_cast<std::size_t>((part.end - part.begin) * columns_of(part));
    writer.write(std::as_bytes(std::span(part.values, count)));
    CheckpointTensor& tensor = shard.tensors[part.tensor];
    tensor.shape = part.shape;
    tensor.parts.push_back(
        {part.begin, part.end, name, part_key(part.tensor, part.begin, part.end)});
  }
  const WrittenFile written = writer.finish();
  shard.file = {.name = name, .bytes = written.bytes, .digest = written.digest};
  return shard;
}

std::string shard_text(const WrittenShard& shard) {
  Json tensors = Json::array();
  for (const auto& [name, tensor] : shard.tensors) {
    Json parts = Json::array();
    for (const TensorPart& part : tensor.parts) parts.push_back({part.row_begin, part.row_end});
    tensors.push_back({name, tensor.shape, parts});
  }
  return Json{{"name", shard.file.name},
              {"bytes", shard.file.bytes},
              {"digest", shard.file.digest},
              {"tensors", tensors}}
      .dump();
}

WrittenShard shard_of_text(std::string_view text) {
  const Json json = Json::parse(text);
  WrittenShard shard;
  shard.file = {json.at("name"), json.at("bytes"), json.at("digest")};
  for (const Json& entry : json.at("tensors")) {
    const std::string name = entry.at(0);
    CheckpointTensor& tensor = shard.tensors[name];
    tensor.shape = entry.at(1).get<std::vector<std::int64_t>>();
    for (const Json& part : entry.at(2)) {
      const std::int64_t begin = part.at(0), end = part.at(1);
      tensor.parts.push_back({begin, end, shard.file.name, part_key(name, begin, end)});
    }
  }
  return shard;
}

void add_shard(const WrittenShard& shard, Manifest& manifest) {
  manifest.files.push_back(shard.file);
  for (const auto& [name, tensor] : shard.tensors) {
    CheckpointTensor& whole = manifest.tensors[name];
    HETMOE_CHECK(whole.shape.empty() || whole.shape == tensor.shape, "two shapes of ", name);
    whole.shape = tensor.shape;
    whole.parts.insert(whole.parts.end(), tensor.parts.begin(), tensor.parts.end());
  }
}

void sort_parts(Manifest& manifest) {
  for (auto& [name, tensor] : manifest.tensors) {
    std::sort(tensor.parts.begin(), tensor.parts.end(),
              [](const TensorPart& a, const TensorPart& b) { return a.row_begin < b.row_begin; });
  }
}

}  // namespace hetmoe
