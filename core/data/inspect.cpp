#include "core/data/inspect.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <vector>

#include "core/base/error.h"
#include "core/data/open_source.h"
#include "core/data/tokenizer.h"
#include "core/data/tokenizer_files.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kLargestVocabulary = std::int64_t{1} << 24;
constexpr std::int64_t kBlockTokens = std::int64_t{1} << 16;
constexpr std::int64_t kShownTokens = 64;
constexpr std::size_t kShownFrequent = 10;

std::int64_t vocabulary_limit(const TokenSource& source) {
  return source.sidecar() ? source.sidecar()->vocab_size : kLargestVocabulary;
}

/// Lengths of documents, met one after another. Tokens before the first beginning are the rest of
/// one that another file begins.
class DocumentLengths {
 public:
  /// The next tokens begin documents at `starts`.
  void add(const std::vector<std::int64_t>& starts, std::int64_t tokens) {
    std::int64_t done = 0;
    for (const std::int64_t start : starts) {
      open_ += start - done;
      close();
      done = start;
    }
    open_ += tokens - done;
  }

  void close() {
    if (open_ == 0) return;
    shortest_ = documents_ == 0 ? open_ : std::min(shortest_, open_);
    longest_ = std::max(longest_, open_);
    ++documents_;
    open_ = 0;
  }

  std::int64_t documents() const { return documents_; }
  std::int64_t shortest() const { return shortest_; }
  std::int64_t longest() const { return longest_; }

 private:
  std::int64_t open_ = 0;
  std::int64_t documents_ = 0;
  std::int64_t shortest_ = 0;
  std::int64_t longest_ = 0;
};

/// What one pass over the tokens tells.
struct Counts {
  std::vector<std::int64_t> of_id;  ///< as long as the largest id needs
  DocumentLengths documents;        ///< without the empty ones
};

Counts count_tokens(const TokenSource& source) {
  const std::int64_t limit = vocabulary_limit(source);
  Counts counts;
  std::vector<std::int32_t> block;
  std::vector<std::int64_t> starts;
  for (std::int64_t begin = 0; begin < source.num_tokens(); begin += kBlockTokens) {
    block.resize(static_cast<std::size_t>(std::min(kBlockTokens, source.num_tokens() - begin)));
    source.read_checked(begin, block, limit);
    for (const std::int32_t token : block) {
      const auto id = static_cast<std::size_t>(token);
      if (id >= counts.of_id.size()) counts.of_id.resize(id + 1);
      ++counts.of_id[id];
    }
    starts.clear();
    source.find_documents(begin, block, starts);
    counts.documents.add(starts, static_cast<std::int64_t>(block.size()));
  }
  counts.documents.close();
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

std::unique_ptr<Tokenizer> find_tokenizer(const TokenSource& shard, const std::string& executable) {
  if (!shard.sidecar()) return nullptr;
  try {
    auto tokenizer =
        make_tokenizer(tokenizer_beside(shard.name(), shard.sidecar()->tokenizer_name), executable);
    if (tokenizer->digest() == shard.sidecar()->tokenizer_digest) return tokenizer;
  } catch (const Error&) {  // text is a courtesy; the numbers stand without it
  }
  return nullptr;
}

nlohmann::ordered_json document_lengths(const DocumentLengths& lengths, std::int64_t documents,
                                        std::int64_t tokens) {
  if (documents == 0) return nullptr;
  const bool some_are_empty = documents > lengths.documents();
  return {{"shortest", some_are_empty ? 0 : lengths.shortest()},
          {"mean", static_cast<double>(tokens) / static_cast<double>(documents)},
          {"longest", lengths.longest()}};
}

nlohmann::ordered_json describe(const TokenSource& shard, const std::string& executable) {
  const Counts counted = count_tokens(shard);
  const std::vector<std::int64_t>& counts = counted.of_id;
  const std::unique_ptr<Tokenizer> tokenizer = find_tokenizer(shard, executable);
  const std::int64_t documents = shard.indexed_documents().value_or(counted.documents.documents());
  nlohmann::ordered_json out;
  out["shard"] = shard.name();
  out["format"] = shard.format();
  if (!shard.vocabulary().empty()) out["vocabulary"] = shard.vocabulary();
  if (shard.num_files() > 1) out["files"] = shard.num_files();
  out["token_type"] = name_of(shard.token_type());
  out["tokens"] = shard.num_tokens();
  out["documents"] = documents;
  out["document_tokens"] = document_lengths(counted.documents, documents, shard.num_tokens());
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
  shard.read_checked(0, first, vocabulary_limit(shard));
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

double unigram_entropy_nats(const TokenSource& source) {
  return entropy_nats(count_tokens(source).of_id, source.num_tokens());
}

std::string inspect_shard(const std::string& name, bool json,
                          const std::string& sentencepiece_executable) {
  const std::shared_ptr<const TokenSource> source = open_token_source(name);
  const nlohmann::ordered_json described = describe(*source, sentencepiece_executable);
  return json ? dump(described, 2) + "\n" : for_people(described);
}

}  // namespace hetmoe
