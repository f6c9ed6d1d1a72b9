#include "runtime/exchange/new_folder.h"

#include <unistd.h>

#include <string>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/files/file_descriptor.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw StorageError("cannot write '" + path.string() + "': " + reason);
}

void require_free(const fs::path& target, bool replace) {
  std::error_code failure;
  const fs::file_status status = fs::symlink_status(target, failure);
  if (status.type() == fs::file_type::not_found) return;
  if (failure) fail(target, failure.message());
  if (status.type() != fs::file_type::directory) fail(target, "it is there and no folder");
  bool empty = true, files_only = true;
  for (fs::directory_iterator entry(target, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    empty = false;
    files_only = files_only && entry->symlink_status().type() == fs::file_type::regular;
  }
  if (failure) fail(target, failure.message());
  if (empty) return;
  if (!replace) fail(target, "the folder is not empty, allowed: a new or an empty one, or --force");
  if (!files_only || !fs::exists(target / "config.json", failure)) {
    fail(target, "--force replaces folders of files with a config.json among them, and no others");
  }
}

void rename_folder(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (failure) fail(to, failure.message());
}

void sync_name(const fs::path& path) {
  const int failure = sync_folder_of(path);
  if (failure != 0) fail(path, std::generic_category().message(failure));
}

fs::path beside(const fs::path& target, const std::string& what) {
  return target.string() + "." + what + "-" + std::to_string(::getpid());
}

}  // namespace

NewFolder::NewFolder(fs::path target, bool replace)
    : target_(fs::absolute(std::move(target)).lexically_normal()) {
  if (!target_.has_filename()) target_ = target_.parent_path();  // "out/"
  require_free(target_, replace);
  partial_ = beside(target_, "partial");
  std::error_code failure;
  if (!fs::create_directories(partial_, failure)) {
    fail(partial_, failure ? failure.message() : "it is there already");
  }
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(partial_, ignored);
}

void NewFolder::commit() {
  sync_name(partial_ / "config.json");
  const fs::path old = beside(target_, "replaced");
  std::error_code failure;
  const bool replaces = fs::exists(target_, failure) && !fs::is_empty(target_, failure);
  if (replaces) rename_folder(target_, old);
  rename_folder(partial_, target_);
  committed_ = true;
  sync_name(target_);
  if (replaces) fs::remove_all(old, failure);
}

}  // namespace hetmoe
