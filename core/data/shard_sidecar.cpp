#include "core/data/shard_sidecar.h"

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr const char* kFormat = "hetmoe token shard";
constexpr std::int64_t kLargestVocabulary = std::int64_t{1} << 24;
constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();
constexpr std::streamsize kLargestFileBytes = 1 << 20;

/// Reads typed members of one JSON object; every fault names the file and the key.
class Members {
 public:
  Members(std::string path, const nlohmann::json& object)
      : path_(std::move(path)), object_(object) {}

  std::string text(const char* key) const {
    const nlohmann::json& value = member(key);
    if (!value.is_string()) fail(key, value.dump(), "a string");
    return value.get<std::string>();
  }

  std::int64_t integer(const char* key, std::int64_t low, std::int64_t high) const {
    const nlohmann::json& value = member(key);
    const std::string allowed =
        "an integer in [" + std::to_string(low) + ", " + std::to_string(high) + "]";
    if (!value.is_number_integer()) fail(key, value.dump(), allowed);
    // An unsigned value beyond int64 would wrap around.
    if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{kUnlimited}) {
      fail(key, value.dump(), allowed);
    }
    const auto number = value.get<std::int64_t>();
    if (number < low || number > high) fail(key, value.dump(), allowed);
    return number;
  }

 private:
  const nlohmann::json& member(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) throw StorageError(path_ + ": key '" + key + "' is missing");
    return *found;
  }

  [[noreturn]] void fail(const char* key, const std::string& found,
                         const std::string& expected) const {
    throw StorageError(path_ + ": '" + key + "' is " + found.substr(0, 80) + ", expected " +
                       expected);
  }

  std::string path_;
  const nlohmann::json& object_;
};

}  // namespace

std::string to_json(const ShardSidecar& sidecar) {
  nlohmann::ordered_json object;
  object["format"] = kFormat;
  object["version"] = 1;
  object["tokenizer"] = sidecar.tokenizer_name;
  object["vocab_size"] = sidecar.vocab_size;
  object["tokenizer_digest"] = sidecar.tokenizer_digest;
  object["end_of_document"] = sidecar.end_of_document;
  object["raw_bytes"] = sidecar.raw_bytes;
  object["documents"] = sidecar.documents;
  object["tokens"] = sidecar.tokens;
  return object.dump(2) + "\n";
}

std::optional<ShardSidecar> read_sidecar(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string text(static_cast<std::size_t>(kLargestFileBytes) + 1, '\0');
  file.read(text.data(), kLargestFileBytes + 1);
  if (file.gcount() > kLargestFileBytes) {
    throw StorageError(path + ": longer than 1 MiB, expected a description of a token shard");
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) throw StorageError(path + ": not a JSON object");
  const Members members(path, object);
  if (members.text("format") != kFormat) {
    throw StorageError(path + ": 'format' is '" + members.text("format").substr(0, 80) +
                       "', expected '" + kFormat + "'");
  }
  members.integer("version", 1, 1);
  ShardSidecar sidecar;
  sidecar.tokenizer_name = members.text("tokenizer");
  sidecar.vocab_size = members.integer("vocab_size", 1, kLargestVocabulary);
  sidecar.tokenizer_digest = members.text("tokenizer_digest");
  sidecar.end_of_document =
      static_cast<std::int32_t>(members.integer("end_of_document", -1, sidecar.vocab_size - 1));
  sidecar.raw_bytes = members.integer("raw_bytes", 0, kUnlimited);
  sidecar.documents = members.integer("documents", 0, kUnlimited);
  sidecar.tokens = members.integer("tokens", 0, kUnlimited);
  return sidecar;
}

}  // namespace hetmoe
