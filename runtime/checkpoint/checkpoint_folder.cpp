#include "runtime/checkpoint/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <span>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/files/digest.h"
#include "core/files/file_descriptor.h"
#include "core/files/read_failure.h"
#include "runtime/checkpoint/marker_lock.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStepPrefix = "step-";
constexpr std::size_t kStepDigits = 8;

[[noreturn]] void fail(const char* action, const fs::path& path, const std::string& reason) {
  throw StorageError(std::string("cannot ") + action + " '" + path.string() + "': " + reason);
}

void sync_folder(const fs::path& folder) {
  const int failure = sync_folder_of(folder / ".");
  if (failure != 0) fail("sync", folder, std::strerror(failure));
}

void make_folder(const fs::path& path) {
  std::error_code failure;
  const bool made = fs::create_directories(path, failure);
  if (!failure && !fs::is_directory(path, failure) && !failure) {
    failure = std::make_error_code(std::errc::not_a_directory);
  }
  if (failure) fail("make", path, failure.message());
  if (made) sync_folder(path / "..");
}

/// With all it holds; a symbolic link without.
void remove_tree(const fs::path& path) {
  std::error_code failure;
  fs::remove_all(path, failure);
  if (failure) fail("remove", path, failure.message());
}

bool is_link(const fs::path& path) {
  std::error_code ignored;
  return fs::is_symlink(path, ignored);
}

/// A folder that cannot be looked at is not the same as none.
bool is_folder(const fs::path& path) {
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  if (!fs::status_known(status)) fail_to_read("read", path, failure.value());
  return fs::is_directory(status);
}

/// Those that `retention` does not keep, whether or not somebody reads them.
std::vector<SavedStep> superfluous(const std::vector<SavedStep>& steps,
                                   const Retention& retention) {
  std::vector<std::int64_t> committed;
  for (const SavedStep& saved : steps) {
    if (saved.committed) committed.push_back(saved.step);
  }
  const auto newest = static_cast<std::size_t>(retention.newest);
  std::vector<SavedStep> found;
  for (const SavedStep& saved : steps) {
    const bool kept =
        saved.committed
            ? committed.size() <= newest || saved.step >= committed[committed.size() - newest] ||
                  (retention.every_steps > 0 && saved.step % retention.every_steps == 0)
            : committed.empty() || saved.step > committed.back();
    if (!kept && !is_link(saved.path)) found.push_back(saved);
  }
  return found;
}

}  // namespace

CheckpointFolder::CheckpointFolder(fs::path path) : path_(std::move(path)) {}

fs::path CheckpointFolder::path_of(std::int64_t step) const {
  return path_ / step_folder_name(step);
}

std::vector<SavedStep> CheckpointFolder::steps() const {
  std::vector<SavedStep> found;
  std::error_code failure;
  fs::directory_iterator entry(path_, failure);
  if (failure == std::errc::no_such_file_or_directory) return found;
  for (; !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    const auto step = step_of_folder(entry->path().filename().string());
    if (!step || !is_folder(entry->path())) continue;
    found.push_back({*step, entry->path(), is_committed(entry->path())});
  }
  if (failure) fail_to_read("read", path_, failure.value());
  std::sort(found.begin(), found.end(),
            [](const SavedStep& a, const SavedStep& b) { return a.step < b.step; });
  return found;
}

fs::path CheckpointFolder::begin(std::int64_t step) const {
  const fs::path folder = path_of(step);
  make_folder(path_);
  if (is_committed(folder)) fail("save into", folder, "it is committed already");
  std::error_code failure;
  if (fs::is_directory(folder, failure)) remove_tree(folder);
  make_folder(folder);
  return folder;
}

void CheckpointFolder::commit(const Manifest& manifest) const {
  const fs::path folder = path_of(manifest.step);
  if (is_committed(folder)) fail("commit", folder, "it is committed already");
  const fs::path path = folder / kManifestName;
  const std::string text = write_manifest(manifest);
  read_manifest(text, path.string());
  require_files(folder, manifest);
  write_file_atomically(path, text);
  write_file_atomically(folder / kCommittedName, committed_text(manifest.step, text));
  sync_folder(path_);
}

void CheckpointFolder::remove(std::int64_t step) const {
  const fs::path folder = path_of(step);
  if (is_link(folder)) fail("remove", folder, "it is a symbolic link");
  std::error_code failure;
  if (!fs::exists(folder, failure) && !failure) return;
  fs::remove(folder / kCommittedName, failure);
  if (failure) fail("remove", folder / kCommittedName, failure.message());
  sync_folder(folder);
  remove_tree(folder);
  sync_folder(path_);
}

std::vector<std::int64_t> CheckpointFolder::prune(const Retention& retention,
                                                  std::vector<std::string>& failures) const {
  HETMOE_CHECK(retention.newest >= 2, "a run keeps at least 2 checkpoints, not ", retention.newest);
  std::vector<std::int64_t> removed;
  std::vector<SavedStep> found;
  try {
    found = superfluous(steps(), retention);
  } catch (const StorageError& error) {
    failures.emplace_back(error.what());
  }
  for (const SavedStep& saved : found) {
    try {
      const auto lock =
          saved.committed ? MarkerLock::exclusive(saved.path / kCommittedName) : std::nullopt;
      if (saved.committed && !lock) continue;  // somebody reads it
      remove(saved.step);
      removed.push_back(saved.step);
    } catch (const StorageError& error) {
      failures.emplace_back(error.what());
    }
  }
  return removed;
}

std::string committed_text(std::int64_t step, std::string_view manifest) {
  return "step " + std::to_string(step) + "\nmanifest " +
         digest_of(std::as_bytes(std::span(manifest))) + "\n";
}

void require_files(const fs::path& folder, const Manifest& manifest) {
  for (const CheckpointFile& file : manifest.files) {
    const fs::path path = folder / file.name;
    std::error_code failure;
    const bool regular = fs::is_regular_file(path, failure);
    if (failure) fail_to_read("read", path, failure.value());
    if (!regular) fail("read", path, "it is no regular file");
    const auto bytes = static_cast<std::int64_t>(fs::file_size(path, failure));
    if (failure) fail_to_read("read", path, failure.value());
    if (bytes != file.bytes) {
      throw StorageError(detail::concatenate(path.string(), ": has ", bytes, " bytes, ",
                                             kManifestName, " says ", file.bytes));
    }
  }
}

bool is_committed(const fs::path& folder) {
  std::error_code failure;
  const bool found = fs::exists(folder / kCommittedName, failure);
  if (failure) fail_to_read("read", folder / kCommittedName, failure.value());
  return found;
}

std::string step_folder_name(std::int64_t step) {
  HETMOE_CHECK(step >= 0, "step ", step);
  const std::string digits = std::to_string(step);
  const std::size_t zeros = kStepDigits - std::min(kStepDigits, digits.size());
  return std::string(kStepPrefix) + std::string(zeros, '0') + digits;
}

std::optional<std::int64_t> step_of_folder(const std::string& name) {
  if (!name.starts_with(kStepPrefix)) return std::nullopt;
  std::int64_t step = -1;
  std::from_chars(name.data() + kStepPrefix.size(), name.data() + name.size(), step);
  // Only the one name that a step has; it also refuses what follows the digits.
  if (step < 0 || step_folder_name(step) != name) return std::nullopt;
  return step;
}

}  // namespace hetmoe
