#include "core/data/prepare_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "core/base/error.h"
#include "core/data/mapped_file.h"
#include "core/files/atomic_file.h"
#include "core/files/digest.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kState = "unfinished.json";
constexpr const char* kLock = "unfinished.lock";
constexpr const char* kPartialTokenizer = "tokenizer.partial";
constexpr std::array kResults = {"train.idx",
                                 "train.bin",
                                 "train.json",
                                 "valid.idx",
                                 "valid.bin",
                                 "valid.json",
                                 "tokenizer.model",
                                 "tokenizer.json",
                                 "tokenizer_config.json",
                                 "special_tokens_map.json",
                                 "generation_config.json"};
constexpr std::array kLeftovers = {
    kPartialTokenizer,       "tokenizer.training.txt", "train.bin.partial", "train.idx.partial",
    "train.json.partial",    "valid.bin.partial",      "valid.idx.partial", "valid.json.partial",
    "train.lengths.partial", "valid.lengths.partial"};

/// What write_file_atomically left when it was killed. The folder is locked: nobody is writing one.
bool is_torn_write(const std::string& name) {
  return name.starts_with(".unfinished.json.part-") ||
         name.starts_with(".tokenizer.training.txt.part-");
}

std::string partial_of(const std::string& name) {
  const bool is_of_shard = name.starts_with("train.") || name.starts_with("valid.");
  return is_of_shard ? name + ".partial" : std::string(kPartialTokenizer) + "/" + name;
}

/// All files of a sealed state, indices last.
std::vector<std::string> names_of(const PrepareState& state, bool with_indices) {
  std::vector<std::string> shards = {"train"};
  if (state.reached.valid.documents > 0) shards.emplace_back("valid");
  std::vector<std::string> names = state.tokenizer_files;
  for (const std::string& shard : shards) {
    names.push_back(shard + ".bin");
    names.push_back(shard + ".json");
  }
  for (const std::string& shard : shards) {
    if (with_indices) names.push_back(shard + ".idx");
  }
  return names;
}

/// True where it was not there.
bool make_folder(const fs::path& path) {
  std::error_code error;
  const bool made = fs::create_directories(path, error);
  if (error) throw StorageError("cannot make folder '" + path.string() + "': " + error.message());
  return made;
}

FileDescriptor lock_folder(const fs::path& path) {
  const std::string name = (path / kLock).string();
  FileDescriptor lock(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock.is_open()) throw StorageError("cannot write '" + name + "': " + std::strerror(errno));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    throw StorageError("cannot write into '" + path.string() +
                       "': another process is preparing it");
  }
  return lock;
}

}  // namespace

PrepareFolder::PrepareFolder(const std::string& path)
    : path_(path), made_(make_folder(path_)), lock_(lock_folder(path_)) {}

PrepareFolder::~PrepareFolder() {
  std::error_code ignored;
  if (discards_) {
    for (const char* name : kLeftovers) fs::remove_all(path_ / name, ignored);
  }
  fs::remove(path_ / kLock, ignored);
  if (made_) fs::remove(path_, ignored);  // not when it holds something
}

std::vector<std::string> PrepareFolder::tokenizer_files() const {
  std::vector<std::string> names;
  if (!fs::exists(partial_tokenizer())) return names;
  for (const auto& entry : fs::directory_iterator(partial_tokenizer())) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string PrepareFolder::tokenizer_digest(const std::vector<std::string>& names) const {
  Digest digest;
  for (const std::string& name : names) {
    digest.update(std::as_bytes(std::span(name)));
    digest.update(MappedFile(file(partial_of(name))).bytes());
  }
  return digest.text();
}

void PrepareFolder::remove(const std::string& name) const {
  std::error_code error;
  fs::remove_all(path_ / name, error);
  if (error) throw StorageError("cannot remove '" + file(name) + "': " + error.message());
}

std::string PrepareFolder::standing_result() const {
  const auto* found = std::find_if(kResults.begin(), kResults.end(),
                                   [this](const char* name) { return fs::exists(path_ / name); });
  return found == kResults.end() ? "" : *found;
}

/// What is missing for going on; "" where nothing is.
std::string PrepareFolder::damage_of(const PrepareState& state, const SplitOptions& split) const {
  if (state.stage == PrepareState::Stage::kSealed) {
    for (const std::string& name : names_of(state, true)) {
      if (!fs::exists(path_ / name) && !fs::exists(path_ / partial_of(name))) {
        return "'" + file(name) + "' is missing";
      }
    }
    return "";
  }
  if (tokenizer_files() != state.tokenizer_files ||
      tokenizer_digest(state.tokenizer_files) != state.files_digest) {
    return "'" + partial_tokenizer() + "' was changed";
  }
  if (state.stage == PrepareState::Stage::kTokenizer) return "";
  SplitOptions saved = split;
  saved.vocab_size = state.vocab_size;
  return saved_split_is_there(saved, state.reached) ? "" : "its shards are missing or cut short";
}

std::optional<PrepareState> PrepareFolder::begin(const PrepareCommand& command,
                                                 const SplitOptions& split, bool overwrite) {
  std::optional<PrepareState> state;
  std::string obstacle;
  if (fs::exists(path_ / kState)) {
    try {
      state = read_prepare_state(file(kState));
      obstacle = first_difference(state->command, command);
      if (!obstacle.empty()) obstacle = "by another command (" + obstacle + ")";
      if (obstacle.empty()) obstacle = damage_of(*state, split);
    } catch (const StorageError& error) {
      obstacle = error.what();
    }
  }
  if (!obstacle.empty() && !overwrite) {
    throw ConfigError("'" + path_.string() + "' holds an unfinished preparation: " + obstacle +
                      "; --force begins anew");
  }
  const bool goes_on = state && obstacle.empty();
  const bool is_sealed = goes_on && state->stage == PrepareState::Stage::kSealed;
  if (const std::string name = standing_result(); !name.empty() && !overwrite && !is_sealed) {
    throw ConfigError("'" + file(name) + "' exists; --force replaces it");
  }
  if (goes_on) return state;
  discard();
  return std::nullopt;
}

void PrepareFolder::save(const PrepareState& state) {
  write_file_atomically(file(kState), to_json(state));
  discards_ = false;
}

void PrepareFolder::discard() {
  remove(kState);  // first: what it tells of goes next
  remove_leftovers();
  discards_ = true;
}

void PrepareFolder::remove_leftovers() const {
  for (const char* name : kLeftovers) remove(name);
  std::vector<std::string> torn;
  for (const auto& entry : fs::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    if (is_torn_write(name)) torn.push_back(name);
  }
  for (const std::string& name : torn) remove(name);
}

void PrepareFolder::take_names(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    std::error_code error;
    if (!fs::exists(path_ / partial_of(name))) continue;  // it has its name since an earlier try
    fs::rename(path_ / partial_of(name), path_ / name, error);
    if (error) throw StorageError("cannot rename to '" + file(name) + "': " + error.message());
  }
  if (const int failure = sync_folder_of(path_ / kState); failure != 0) {
    throw StorageError("cannot sync '" + path_.string() + "': " + std::strerror(failure));
  }
}

void PrepareFolder::commit(const PrepareState& state) {
  const std::vector<std::string> all = names_of(state, true);
  const auto is_ours = [&](const std::string& name) {
    return std::find(all.begin(), all.end(), name) != all.end();
  };
  // Old indices go first: no shard of before may meet the tokenizer of now.
  for (const char* name : {"train.idx", "valid.idx"}) {
    if (!is_ours(name) || fs::exists(path_ / partial_of(name))) remove(name);
  }
  for (const char* name : kResults) {
    if (!is_ours(name)) remove(name);
  }
  take_names(names_of(state, false));
  take_names(all);
  remove_leftovers();
  remove(kState);  // last: until here another process could do this again
}

}  // namespace hetmoe
