#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/report/checkpoint_text.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

/// One line; a path may hold any bytes.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

template <typename Value>
Json value_or_null(bool known, const Value& value) {
  return known ? Json(value) : Json();
}

}  // namespace

std::string checkpoint_list_json(std::span<const ListedCheckpoint> checkpoints) {
  Json list = Json::array();
  for (const ListedCheckpoint& checkpoint : checkpoints) {
    const bool readable = checkpoint.fault.empty();
    list.push_back(
        {{"step", value_or_null(checkpoint.step.has_value(), checkpoint.step.value_or(0))},
         {"path", checkpoint.path},
         {"committed", checkpoint.committed},
         {"fault", value_or_null(!readable, checkpoint.fault)},
         {"bytes", checkpoint.bytes},
         {"saved", value_or_null(readable, checkpoint.saved)},
         {"tokens", value_or_null(readable, checkpoint.tokens)},
         {"generation", value_or_null(readable, checkpoint.generation)},
         {"files", value_or_null(readable, checkpoint.files)},
         {"ranks", value_or_null(readable, checkpoint.ranks)}});
  }
  return text_of({{"checkpoints", std::move(list)}});
}

std::string checkpoint_verification_json(std::span<const VerifiedCheckpoint> checkpoints,
                                         std::size_t unfinished) {
  Json list = Json::array();
  for (const VerifiedCheckpoint& checkpoint : checkpoints) {
    list.push_back({{"path", checkpoint.path},
                    {"whole", checkpoint.faults.empty()},
                    {"files", checkpoint.files},
                    {"bytes", checkpoint.bytes},
                    {"faults", checkpoint.faults}});
  }
  return text_of({{"checkpoints", std::move(list)}, {"unfinished", unfinished}});
}

std::string checkpoint_json(const Manifest& manifest, const ListedCheckpoint& checkpoint,
                            bool with_tensors) {
  const CheckpointState& state = manifest.state;
  Json root = {{"path", checkpoint.path},
               {"step", manifest.step},
               {"tokens", manifest.tokens},
               {"generation", manifest.generation},
               {"saved", checkpoint.saved},
               {"bytes", checkpoint.bytes},
               {"parameters", parameters_of(manifest)},
               {"ranks", state.ranks},
               {"expert_group_size", state.expert_group_size},
               {"optimizer_steps", state.optimizer_updates},
               {"skipped_steps", state.skipped_steps},
               {"sampler", {{"seed", state.sampler_seed}}},
               {"loads", state.loads},
               {"placement", Json::parse(state.plan)},
               {"files", Json::array()}};
  for (const CheckpointFile& file : manifest.files) {
    root["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"digest", file.digest}});
  }
  if (!with_tensors) return text_of(root);
  // A list: member by member an ordered object would search all its keys for each new one.
  Json& tensors = root["tensors"] = Json::array();
  for (const auto& [name, tensor] : manifest.tensors) {
    Json parts = Json::array();
    for (const TensorPart& part : tensor.parts) {
      parts.push_back({{"rows", Json::array({part.row_begin, part.row_end})}, {"file", part.file}});
    }
    tensors.push_back({{"name", name}, {"shape", tensor.shape}, {"parts", std::move(parts)}});
  }
  return text_of(root);
}

}  // namespace hetmoe
