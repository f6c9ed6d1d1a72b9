#include "runtime/checkpoint/manifest.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/check.h"

namespace hetmoe {
namespace {

using nlohmann::ordered_json;

ordered_json files_json(const std::vector<CheckpointFile>& files) {
  ordered_json list = ordered_json::array();
  for (const CheckpointFile& file : files) {
    list.push_back({{"name", file.name}, {"bytes", file.bytes}, {"digest", file.digest}});
  }
  return list;
}

ordered_json tensor_json(const CheckpointTensor& tensor) {
  ordered_json parts = ordered_json::array();
  for (const TensorPart& part : tensor.parts) {
    parts.push_back({{"rows", ordered_json::array({part.row_begin, part.row_end})},
                     {"file", part.file},
                     {"key", part.key}});
  }
  return {{"dtype", "F32"}, {"shape", tensor.shape}, {"parts", std::move(parts)}};
}

ordered_json tensors_json(const std::map<std::string, CheckpointTensor>& tensors) {
  // Member by member an ordered object would search all its keys for each new one.
  std::vector<std::pair<const std::string, ordered_json>> members;
  members.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) members.emplace_back(name, tensor_json(tensor));
  return ordered_json::object_t(members.begin(), members.end());
}

ordered_json state_json(const CheckpointState& state) {
  const auto plan = nlohmann::json::parse(state.plan, nullptr, /*allow_exceptions=*/false);
  HETMOE_CHECK(plan.is_object(), "the plan of a checkpoint is '", state.plan.substr(0, 40), "'");
  ordered_json json;
  json["sampler"] = {{"seed", state.sampler_seed}};
  json["optimizer_steps"] = state.optimizer_updates;
  json["skipped_steps"] = state.skipped_steps;
  json["loads"] = state.loads;
  json["ranks"] = state.ranks;
  json["expert_group_size"] = state.expert_group_size;
  json["placement"] = plan;
  json["config"] = state.config;
  return json;
}

}  // namespace

std::string part_key(std::string_view tensor, std::int64_t begin, std::int64_t end) {
  return detail::concatenate(tensor, "#", begin, ":", end);
}

std::string write_manifest(const Manifest& manifest) {
  ordered_json root;
  root["format"] = kManifestFormat;
  root["step"] = manifest.step;
  root["tokens"] = manifest.tokens;
  root["generation"] = manifest.generation;
  root["files"] = files_json(manifest.files);
  root["tensors"] = tensors_json(manifest.tensors);
  root["state"] = state_json(manifest.state);
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace hetmoe
