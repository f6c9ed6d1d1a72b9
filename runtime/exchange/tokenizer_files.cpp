#include "runtime/exchange/tokenizer_files.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <system_error>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "core/data/shard_sidecar.h"
#include "core/files/atomic_file.h"
#include "core/files/digest.h"
#include "runtime/exchange/sentencepiece_model.h"
#include "runtime/exchange/text_file.h"
#include "runtime/exchange/tokenizer_json.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModelName = "tokenizer.model";
constexpr const char* kJsonName = "tokenizer.json";
constexpr const char* kConfigName = "tokenizer_config.json";
constexpr auto kNames = std::to_array<std::string_view>(
    {kModelName, kJsonName, kConfigName, "special_tokens_map.json", "added_tokens.json",
     "vocab.json", "merges.txt", "chat_template.jinja"});
constexpr std::int64_t kMostBytes = std::int64_t{1} << 30;

std::optional<std::int32_t> valid(std::int32_t token) {
  return token >= 0 ? std::optional(token) : std::nullopt;
}

class Writer {
 public:
  Writer(const fs::path& folder, const RunConfig& config)
      : folder_(folder), longest_sequence_(config.train.sequence_length) {}

  void text(const std::string& name, const std::string& contents) {
    if (has(name)) return;
    write_file_atomically(folder_ / name, contents);
    tokenizer_.files.push_back(name);
  }

  void copies(const fs::path& from) {
    if (from.empty()) return;
    for (std::string& name : copy_tokenizer_files(from, folder_)) {
      tokenizer_.files.push_back(std::move(name));
    }
  }

  void bytes() {
    text(kJsonName, byte_tokenizer_json());
    text(kConfigName, tokenizer_config_json({}, "</s>", {}, longest_sequence_));
    tokenizer_.end_token = ByteTokenizer::kEndOfDocument;
  }

  void sentencepiece(const std::string& model_bytes, const std::string& file) {
    const SentencePieceModel model = read_sentencepiece_model(model_bytes, file);
    text(kModelName, model_bytes);
    const auto piece = [&](std::int32_t id) {
      return id < 0 ? std::string() : model.pieces[static_cast<std::size_t>(id)].text;
    };
    const auto unknown = std::ranges::find(model.pieces, SentencePieceModel::Kind::kUnknown,
                                           &SentencePieceModel::Piece::kind);
    if (const auto json = tokenizer_json(model, file); json && !has(kJsonName)) {
      text(kJsonName, *json);
      text(kConfigName, tokenizer_config_json(piece(model.begin_token), piece(model.end_token),
                                              unknown == model.pieces.end() ? "" : unknown->text,
                                              longest_sequence_));
    } else if (!has(kJsonName)) {
      tokenizer_.note =
          "tokenizer.model is not of the kind that becomes a tokenizer.json: "
          "AutoTokenizer needs the package sentencepiece for it";
    }
    tokenizer_.begin_token = valid(model.begin_token);
    tokenizer_.end_token = valid(model.end_token);
  }

  void end_of_document(std::int32_t token) { tokenizer_.end_token = valid(token); }

  ExportedTokenizer without(const std::string& why) {
    tokenizer_.note = why;
    return take();
  }
  ExportedTokenizer take() { return std::move(tokenizer_); }

 private:
  bool has(const std::string& name) const {
    return std::ranges::find(tokenizer_.files, name) != tokenizer_.files.end();
  }

  const fs::path& folder_;
  std::int64_t longest_sequence_;
  ExportedTokenizer tokenizer_;
};

void require_digest(const std::string& bytes, const fs::path& file, const ShardSidecar& sidecar) {
  const std::string digest = digest_of(std::as_bytes(std::span(bytes)));
  if (digest == sidecar.tokenizer_digest) return;
  throw StorageError(file.string() + ": the tokenizer has digest " + digest +
                     ", the run's text was made with " + sidecar.tokenizer_digest +
                     " (or name one: --tokenizer bytes|MODEL)");
}

}  // namespace

std::vector<std::string> copy_tokenizer_files(const fs::path& from, const fs::path& folder) {
  std::vector<std::string> found;
  std::error_code failure;
  for (const std::string_view name : kNames) {
    const fs::path file = from / name;
    if (!fs::is_regular_file(file, failure)) continue;
    write_file_atomically(folder / name, read_text_file(file, kMostBytes));
    found.emplace_back(name);
  }
  return found;
}

ExportedTokenizer write_tokenizer_files(const RunConfig& config, const std::string& given,
                                        const fs::path& folder) {
  Writer writer(folder, config);
  if (given == "bytes") {
    writer.bytes();
    return writer.take();
  }
  if (!given.empty()) {
    writer.sentencepiece(read_text_file(given, kMostBytes), given);
    return writer.take();
  }
  const std::string& train = config.data.train;
  if (train == "random") return writer.without("none: data.train of the run is random");
  const auto sidecar = read_sidecar(train + ".json");
  if (!sidecar) {
    return writer.without("none: " + train + ".json, which names it, is not there (--tokenizer)");
  }
  if (sidecar->tokenizer_name == "bytes") {
    writer.bytes();
    return writer.take();
  }
  const fs::path beside = fs::path(train).parent_path();
  writer.copies(beside.empty() ? "." : beside);
  if (sidecar->tokenizer_name == "sentencepiece") {
    const fs::path model = beside / kModelName;
    const std::string bytes = read_text_file(model, kMostBytes);
    require_digest(bytes, model, *sidecar);
    writer.sentencepiece(bytes, model.string());
  }
  writer.end_of_document(sidecar->end_of_document);
  return writer.take();
}

}  // namespace hetmoe
