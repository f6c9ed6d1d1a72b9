#include "core/data/inspect.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <vector>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "core/data/sentencepiece_tokenizer.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kLargestVocabulary = std::int64_t{1} << 24;
constexpr std::int64_t kBlockTokens = std::int64_t{1} << 16;
constexpr std::int64_t kShownTokens = 64;
constexpr std::size_t kShownFrequent = 10;

std::int64_t vocabulary_limit(const TokenShard& shard) {
  if (shard.sidecar()) return shard.sidecar()->vocab_size;
  return shard.token_type() == TokenType::kUint16 ? 65536 : kLargestVocabulary;
}

/// How often each id occurs; as long as the largest id needs.
std::vector<std::int64_t> count_tokens(const TokenShard& shard) {
  const std::int64_t limit = vocabulary_limit(shard);
  std::vector<std::int64_t> counts;
  std::vector<std::int32_t> block;
  for (std::int64_t begin = 0; begin < shard.num_tokens(); begin += kBlockTokens) {
    block.resize(static_cast<std::size_t>(std::min(kBlockTokens, shard.num_tokens() - begin)));
    shard.read_checked(begin, block, limit);
    for (const std::int32_t token : block) {
      const auto id = static_cast<std::size_t>(token);
      if (id >= counts.size()) counts.resize(id + 1);
      ++counts[id];
    }
  }
  return counts;
}

double entropy_nats(const std::vector<std::int64_t>& counts, std::int64_t num_tokens) {
  double entropy = 0;
  for (const std::int64_t count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / static_cast<double>(num_tokens);
    entropy -= share * std::log(share);
  }
  return entropy;
}

std::vector<std::int64_t> most_frequent(const std::vector<std::int64_t>& counts) {
  std::vector<std::int64_t> ids(counts.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto count_of = [&](std::int64_t id) { return counts[static_cast<std::size_t>(id)]; };
  const auto middle =
      ids.begin() + static_cast<std::ptrdiff_t>(std::min(kShownFrequent, ids.size()));
  std::partial_sort(ids.begin(), middle, ids.end(), [&](std::int64_t a, std::int64_t b) {
    return count_of(a) != count_of(b) ? count_of(a) > count_of(b) : a < b;
  });
  ids.erase(middle, ids.end());
  std::erase_if(ids, [&](std::int64_t id) { return count_of(id) == 0; });
  return ids;
}

std::unique_ptr<Tokenizer> find_tokenizer(const TokenShard& shard, const std::string& executable) {
  if (!shard.sidecar()) return nullptr;
  std::unique_ptr<Tokenizer> tokenizer;
  const auto model = std::filesystem::path(shard.prefix()).parent_path() / "tokenizer.model";
  try {
    if (shard.sidecar()->tokenizer_name == "bytes") {
      tokenizer = std::make_unique<ByteTokenizer>();
    } else if (std::filesystem::exists(model)) {
      tokenizer = std::make_unique<SentencePieceTokenizer>(model.string(), executable);
    }
  } catch (const StorageError&) {
    return nullptr;  // text is a courtesy; the numbers stand without it
  }
  if (tokenizer && tokenizer->digest() != shard.sidecar()->tokenizer_digest) return nullptr;
  return tokenizer;
}

nlohmann::ordered_json document_lengths(const TokenShard& shard) {
  const std::int64_t documents = shard.num_documents();
  if (documents == 0) return nullptr;
  std::int64_t shortest = shard.num_tokens();
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < documents; ++i) {
    const std::int64_t length = shard.document_begin(i + 1) - shard.document_begin(i);
    shortest = std::min(shortest, length);
    longest = std::max(longest, length);
  }
  return {{"shortest", shortest},
          {"mean", static_cast<double>(shard.num_tokens()) / static_cast<double>(documents)},
          {"longest", longest}};
}

nlohmann::ordered_json describe(const TokenShard& shard, const std::string& executable) {
  const std::vector<std::int64_t> counts = count_tokens(shard);
  const std::unique_ptr<Tokenizer> tokenizer = find_tokenizer(shard, executable);
  nlohmann::ordered_json out;
  out["prefix"] = shard.prefix();
  out["token_type"] = name_of(shard.token_type());
  out["tokens"] = shard.num_tokens();
  out["documents"] = shard.num_documents();
  out["document_tokens"] = document_lengths(shard);
  if (const auto& sidecar = shard.sidecar()) {
    out["tokenizer"] = sidecar->tokenizer_name;
    out["vocab_size"] = sidecar->vocab_size;
    out["tokenizer_digest"] = sidecar->tokenizer_digest;
    out["end_of_document"] = sidecar->end_of_document;
    out["raw_bytes"] = sidecar->raw_bytes;
    out["bytes_per_token"] = static_cast<double>(sidecar->raw_bytes) /
                             static_cast<double>(std::max<std::int64_t>(1, shard.num_tokens()));
  }
  out["distinct_tokens"] =
      std::count_if(counts.begin(), counts.end(), [](std::int64_t count) { return count > 0; });
  out["unigram_entropy_nats"] = entropy_nats(counts, shard.num_tokens());
  out["most_frequent"] = nlohmann::ordered_json::array();
  for (const std::int64_t id : most_frequent(counts)) {
    nlohmann::ordered_json entry = {{"id", id}, {"count", counts[static_cast<std::size_t>(id)]}};
    const auto narrow = static_cast<std::int32_t>(id);
    if (tokenizer) entry["text"] = tokenizer->decode(std::span(&narrow, 1));
    out["most_frequent"].push_back(entry);
  }
  std::vector<std::int32_t> first(
      static_cast<std::size_t>(std::min(kShownTokens, shard.num_tokens())));
  shard.read(0, first);
  out["first_tokens"] = first;
  if (tokenizer) out["first_text"] = tokenizer->decode(first);
  return out;
}

std::string dump(const nlohmann::ordered_json& value, int indent) {
  // A token may be half a character: JSON has no way to say so, U+FFFD stands for it.
  return value.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

/// Strings bare, except where quotes keep odd text harmless; three decimals.
std::string plain(const nlohmann::ordered_json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number_float()) return dump(value, -1);
  std::ostringstream text;
  text << std::fixed << std::setprecision(3) << value.get<double>();
  return text.str();
}

std::string for_people(const nlohmann::ordered_json& described) {
  std::ostringstream text;
  const auto label = [&](std::string name) -> std::ostringstream& {
    std::replace(name.begin(), name.end(), '_', ' ');
    text << std::left << std::setw(22) << name << ' ';
    return text;
  };
  for (const auto& [key, value] : described.items()) {
    if (key == "document_tokens" && value.is_object()) {
      label(key) << "shortest " << plain(value["shortest"]) << ", mean " << plain(value["mean"])
                 << ", longest " << plain(value["longest"]) << '\n';
    } else if (key == "most_frequent") {
      for (const auto& entry : value) {
        label(&entry == &value.front() ? key : std::string())
            << entry["count"] << " x id " << entry["id"];
        if (entry.contains("text")) text << ' ' << dump(entry["text"], -1);
        text << '\n';
      }
    } else {
      label(key) << (key == "first_text" ? dump(value, -1) : plain(value)) << '\n';
    }
  }
  return text.str();
}

}  // namespace

double unigram_entropy_nats(const TokenShard& shard) {
  return entropy_nats(count_tokens(shard), shard.num_tokens());
}

std::string inspect_shard(const std::string& prefix, bool json,
                          const std::string& sentencepiece_executable) {
  const TokenShard shard = TokenShard::open(prefix);
  const nlohmann::ordered_json described = describe(shard, sentencepiece_executable);
  return json ? dump(described, 2) + "\n" : for_people(described);
}

}  // namespace hetmoe
