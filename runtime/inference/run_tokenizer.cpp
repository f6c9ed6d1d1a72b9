#include "runtime/inference/run_tokenizer.h"

#include <filesystem>
#include <optional>

#include "core/base/error.h"
#include "core/data/open_source.h"
#include "core/data/shard_sidecar.h"
#include "core/data/tokenizer_files.h"

namespace hetmoe {
namespace {

constexpr const char* kHint = " (or name one: --tokenizer bytes|PATH)";

ShardSidecar sidecar_of_run(const std::string& train) {
  if (train == "random") {
    throw ConfigError(std::string("data.train of the run is random, which has no tokenizer") +
                      kHint);
  }
  std::optional<ShardSidecar> sidecar = read_sidecar(train + ".json");
  if (!sidecar) {
    throw ConfigError(train + ".json: not found, it names the tokenizer of data.train" + kHint);
  }
  return *std::move(sidecar);
}

std::unique_ptr<Tokenizer> tokenizer_of_shard(const std::string& train) {
  const ShardSidecar sidecar = sidecar_of_run(train);
  const std::string source = tokenizer_beside(train, sidecar.tokenizer_name);
  if (source != "bytes" && !std::filesystem::is_regular_file(source)) {
    throw StorageError(source + ": not found, it holds the tokenizer of " + train + kHint);
  }
  auto tokenizer = make_tokenizer(source);
  if (tokenizer->digest() != sidecar.tokenizer_digest) {
    throw StorageError(source + ": the tokenizer has digest " + tokenizer->digest() + ", " + train +
                       " was made with " + sidecar.tokenizer_digest + kHint);
  }
  if (sidecar.end_of_document >= 0 && tokenizer->end_of_document() != sidecar.end_of_document) {
    throw StorageError(source + ": documents end with token " +
                       std::to_string(tokenizer->end_of_document()) + ", those of " + train +
                       " with " + std::to_string(sidecar.end_of_document) + kHint);
  }
  return tokenizer;
}

/// All shards of a run have one tokenizer: the first is asked.
std::string first_shard(const DataConfig& data) {
  const std::string& name = data.mixture.empty() ? data.train : data.mixture.front();
  const bool is_prefix =
      name.find_first_of("*?[") == std::string::npos && !std::filesystem::is_regular_file(name);
  return is_prefix ? name : shard_names(name).front();
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_of_run(const RunConfig& config, const std::string& given) {
  auto tokenizer =
      given.empty() ? tokenizer_of_shard(first_shard(config.data)) : make_tokenizer(given);
  if (tokenizer->vocab_size() > config.model.vocab_size) {
    throw ConfigError("the tokenizer has " + std::to_string(tokenizer->vocab_size()) +
                      " tokens, allowed: at most model.vocab_size " +
                      std::to_string(config.model.vocab_size));
  }
  return tokenizer;
}

}  // namespace hetmoe
