#include "core/data/prepare_state.h"

#include <array>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr std::array kStages = {"tokenizer", "encoding", "sealed"};

Json as_json(const SplitSize& size) {
  return {{"raw_bytes", size.raw_bytes}, {"documents", size.documents}, {"tokens", size.tokens}};
}

std::int64_t count_in(const Json& json, const char* key) {
  const auto value = json.at(key).get<std::int64_t>();
  if (!json.at(key).is_number_integer() || value < 0) {
    throw std::runtime_error(std::string(key) + " must be an integer from 0");
  }
  return value;
}

SplitSize size_in(const Json& json) {
  return {.raw_bytes = count_in(json, "raw_bytes"),
          .documents = count_in(json, "documents"),
          .tokens = count_in(json, "tokens")};
}

Json as_json(const CorpusPosition& position) {
  return {{"input", position.input},
          {"bytes", position.within.bytes},
          {"lines", position.within.lines},
          {"begins_line", position.within.begins_line},
          {"line_waits", position.within.line_waits},
          {"previous_line_blank", position.within.previous_line_blank},
          {"cut", position.within.cut},
          {"separators", position.separators}};
}

CorpusPosition position_in(const Json& json) {
  return {.input = static_cast<std::size_t>(count_in(json, "input")),
          .within = {.bytes = count_in(json, "bytes"),
                     .lines = count_in(json, "lines"),
                     .begins_line = json.at("begins_line").get<bool>(),
                     .line_waits = json.at("line_waits").get<bool>(),
                     .previous_line_blank = json.at("previous_line_blank").get<bool>(),
                     .cut = json.at("cut").get<bool>()},
          .separators = count_in(json, "separators")};
}

/// They are joined to a folder: nothing may lead out of it.
std::vector<std::string> names_in(const Json& json) {
  auto names = json.get<std::vector<std::string>>();
  for (const std::string& name : names) {
    if (name.find('/') != std::string::npos) {
      throw std::runtime_error("'" + name + "' must be a name without a folder");
    }
  }
  return names;
}

PrepareState::Stage stage_in(const Json& json) {
  const auto name = json.at("stage").get<std::string>();
  for (std::size_t i = 0; i < kStages.size(); ++i) {
    if (name == kStages[i]) return static_cast<PrepareState::Stage>(i);
  }
  throw std::runtime_error("stage is '" + name + "', must be tokenizer, encoding or sealed");
}

PrepareState state_in(const Json& json) {
  if (count_in(json, "version") != kVersion) {
    throw std::runtime_error("version " + json.at("version").dump() + ", must be " +
                             std::to_string(kVersion));
  }
  return {.stage = stage_in(json),
          .command = json.at("command").get<PrepareCommand>(),
          .tokenizer_files = names_in(json.at("tokenizer_files")),
          .files_digest = json.at("files_digest").get<std::string>(),
          .vocab_size = count_in(json, "vocab_size"),
          .position = position_in(json.at("position")),
          .skipped_lines = count_in(json, "skipped_lines"),
          .reached = {.documents = count_in(json, "documents"),
                      .train = size_in(json.at("train")),
                      .valid = size_in(json.at("valid"))}};
}

}  // namespace

std::string first_difference(const PrepareCommand& before, const PrepareCommand& now) {
  PrepareCommand all = before;
  all.insert(now.begin(), now.end());
  const auto value_in = [](const PrepareCommand& command, const std::string& name) {
    const auto found = command.find(name);
    return found == command.end() ? std::string("nothing") : found->second;
  };
  for (const auto& [name, ignored] : all) {
    const std::string was = value_in(before, name);
    const std::string is = value_in(now, name);
    if (was != is) return name + " " + was + ", now " + is;
  }
  return "";
}

std::string to_json(const PrepareState& state) {
  const Json json = {{"version", kVersion},
                     {"stage", kStages.at(static_cast<std::size_t>(state.stage))},
                     {"command", state.command},
                     {"tokenizer_files", state.tokenizer_files},
                     {"files_digest", state.files_digest},
                     {"vocab_size", state.vocab_size},
                     {"position", as_json(state.position)},
                     {"skipped_lines", state.skipped_lines},
                     {"documents", state.reached.documents},
                     {"train", as_json(state.reached.train)},
                     {"valid", as_json(state.reached.valid)}};
  // Paths may hold any bytes; a lost character shows as another command, and is never silent.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

PrepareState read_prepare_state(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) throw StorageError("cannot read '" + path + "'");
  try {
    return state_in(Json::parse(text));
  } catch (const std::exception& error) {
    throw StorageError("'" + path + "' is not what a preparation leaves: " + error.what());
  }
}

}  // namespace hetmoe
