#include "core/data/open_source.h"

#include <glob.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/data/concatenated_source.h"
#include "core/data/flat_shard.h"
#include "core/data/token_shard.h"

namespace hetmoe {
namespace {

constexpr const char* kIndexEnding = ".idx";
constexpr const char* kTokensEnding = ".bin";
constexpr const char* kSidecarEnding = ".json";

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

/// Whether a file begins as Megatron's index does.
bool is_index(const std::string& path) {
  const std::string magic("MMIDIDX\0\0", 9);
  std::string beginning(magic.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
  return file && beginning == magic;
}

/// The name without `ending`; empty when it has another one.
std::string stem(const std::string& name, const std::string& ending) {
  if (!name.ends_with(ending) || name.size() == ending.size()) return "";
  return name.substr(0, name.size() - ending.size());
}

/// The shard that an existing file belongs to: the PREFIX of its pair, or itself.
std::string shard_of_file(const std::string& path) {
  const std::string of_index = stem(path, kIndexEnding);
  if (!of_index.empty() && (is_index(path) || exists(of_index + kTokensEnding))) return of_index;
  const std::string of_tokens = stem(path, kTokensEnding);
  return !of_tokens.empty() && exists(of_tokens + kIndexEnding) ? of_tokens : path;
}

bool is_sidecar(const std::string& path) {
  const std::string prefix = stem(path, kSidecarEnding);
  return !prefix.empty() && exists(prefix + kIndexEnding);
}

bool is_pair(const std::string& name) { return exists(name + kIndexEnding); }
bool is_file(const std::string& name) { return exists(name) && !is_folder(name); }

std::vector<std::string> matches_of(const std::string& pattern) {
  glob_t found{};
  const int result = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  std::vector<std::string> paths;
  for (std::size_t i = 0; result == 0 && i < found.gl_pathc; ++i)
    paths.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  if (result != 0 && result != GLOB_NOMATCH) {
    throw StorageError("cannot look for what matches '" + pattern + "'");
  }
  return paths;
}

/// A set orders by bytes, the same in every locale, and holds a pair once.
std::vector<std::string> shards_of_pattern(const std::string& pattern) {
  std::set<std::string> shards;
  for (const std::string& path : matches_of(pattern)) {
    if (!is_sidecar(path)) shards.insert(shard_of_file(path));
  }
  for (const std::string& path : matches_of(pattern + kIndexEnding)) {
    shards.insert(shard_of_file(path));
  }
  if (shards.empty()) {
    throw StorageError("no token shards match '" + pattern + "' or '" + pattern + kIndexEnding +
                       "'");
  }
  return {shards.begin(), shards.end()};
}

std::shared_ptr<const TokenSource> open_shard(const std::string& shard) {
  if (is_pair(shard) && is_file(shard)) {
    throw StorageError("'" + shard + "' names both a file and the pair of '" + shard +
                       kIndexEnding + "': rename one of them");
  }
  if (is_file(shard)) return std::make_shared<const FlatShard>(FlatShard::open(shard));
  return std::make_shared<const TokenShard>(TokenShard::open(shard));
}

}  // namespace

std::vector<std::string> shard_names(const std::string& name) {
  if (is_pair(name)) return {name};
  if (is_file(name)) return {shard_of_file(name)};
  if (name.find_first_of("*?[") != std::string::npos) return shards_of_pattern(name);
  if (is_folder(name)) {
    throw StorageError("'" + name + "' is a folder, expected token shards in it, such as '" +
                       (std::filesystem::path(name) / "*.bin").string() + "'");
  }
  throw StorageError("no token shard '" + name + "': neither '" + name + kIndexEnding +
                     "' of a pair of Megatron's nor a file '" + name + "' of llm.c or nanoGPT");
}

std::shared_ptr<const TokenSource> open_token_source(const std::string& name) {
  const std::vector<std::string> shards = shard_names(name);
  std::vector<std::shared_ptr<const TokenSource>> parts;
  for (const std::string& shard : shards) parts.push_back(open_shard(shard));
  if (parts.size() == 1) return parts.front();
  return std::make_shared<const ConcatenatedSource>(name, std::move(parts));
}

}  // namespace hetmoe
