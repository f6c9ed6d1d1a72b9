#include "runtime/metrics/run_directory.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "core/files/atomic_file.h"
#include "runtime/metrics/run_lock.h"
#include "runtime/metrics/run_name.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_used(const fs::path& path, std::string_view found) {
  throw StorageError("run directory '" + path.string() + "' is already in use (it holds " +
                     std::string(found) + "): give a new --run-dir");
}

[[noreturn]] void refuse_foreign(const fs::path& path, std::string_view found,
                                 std::string_view missing) {
  throw StorageError("run directory '" + path.string() + "' cannot be continued (it holds " +
                     std::string(found) + ", but neither " + std::string(missing) +
                     " nor checkpoints): give a new --run-dir");
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// Of a file or folder. In doubt it does: nothing is then removed.
bool holds_anything(const fs::path& path) {
  std::error_code failure;
  if (!fs::exists(path, failure) && !failure) return false;
  return !fs::is_empty(path, failure) || failure;
}

void make_folder(const fs::path& path) {
  std::error_code failure;
  fs::create_directories(path, failure);
  if (!failure && !fs::is_directory(path, failure) && !failure) {
    failure = std::make_error_code(std::errc::not_a_directory);
  }
  if (failure) {
    throw StorageError("cannot make run directory '" + path.string() + "': " + failure.message());
  }
}

fs::path make_new_folder(std::string_view config_name, const Clock& clock) {
  const fs::path root = "runs";
  make_folder(root);
  for (int attempt = 0; attempt < 100; ++attempt) {
    const fs::path path = root / new_run_name(config_name, clock);
    std::error_code failure;
    if (fs::create_directory(path, failure)) return path;
    if (failure) {
      throw StorageError("cannot make run directory '" + path.string() + "': " + failure.message());
    }
  }
  throw StorageError("cannot find a free name for a run directory under 'runs'");
}

/// The one step that two runs cannot both pass.
void take(const fs::path& path) {
  const fs::path metrics = path / "metrics.jsonl";
  const int descriptor = ::open(metrics.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor >= 0) {
    ::close(descriptor);
    return;
  }
  if (errno == EEXIST) refuse_used(path, "metrics.jsonl");
  throw StorageError("cannot write '" + metrics.string() + "': " + std::strerror(errno));
}

}  // namespace

RunDirectory::RunDirectory(fs::path path) : path_(std::move(path)) {}

RunDirectory RunDirectory::create(const std::optional<fs::path>& given,
                                  std::string_view config_name, const Clock& clock) {
  if (given) make_folder(*given);
  const RunDirectory directory(given ? *given : make_new_folder(config_name, clock));
  directory.require_unused();
  take(directory.path());
  directory.prepare();
  return directory;
}

RunDirectory RunDirectory::open(fs::path path) { return RunDirectory(std::move(path)); }

void RunDirectory::make() const { make_folder(path_); }

void RunDirectory::require_unused() const {
  for (const fs::path& file : {metrics_file(), config_file()}) {
    if (is_there(file)) refuse_used(path_, file.filename().string());
  }
  if (holds_anything(checkpoints_folder())) refuse_used(path_, "checkpoints");
}

bool RunDirectory::prepare() const {
  const bool metrics = is_there(metrics_file());
  const bool config = is_there(config_file());
  const bool used = holds_anything(checkpoints_folder()) || (metrics && config);
  if (!used && config) refuse_foreign(path_, "config.yaml", "metrics.jsonl");
  if (!used && metrics && holds_anything(metrics_file())) {
    refuse_foreign(path_, "metrics.jsonl", "config.yaml");
  }
  if (!metrics) take(path_);
  std::error_code ignored;
  fs::remove(path_ / "exit.json", ignored);  // of the run before, or of one that never started
  make_folder(path_ / "logs");
  return used;
}

std::string RunDirectory::name() const {
  const fs::path whole = fs::weakly_canonical(path_);
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

fs::path RunDirectory::log_file(int rank) const {
  return path_ / "logs" / ("rank-" + std::to_string(rank) + ".log");
}

void RunDirectory::release() const {
  if (holds_anything(checkpoints_folder()) || locked_by_another(*this)) return;
  std::error_code failure;
  if (fs::file_size(metrics_file(), failure) > 0 || failure) return;
  for (const fs::path& file :
       {config_file(), plan_file(), cluster_file(), events_file(), coordinator_journal(),
        scrape_targets_file(), scrape_token_file(), scrape_certificate_file(), metrics_file()}) {
    fs::remove(file, failure);
  }
  const fs::path folder = scrape_token_file().parent_path();
  if (fs::is_directory(folder, failure)) fs::remove(folder, failure);  // if it is empty
}

void RunDirectory::write_exit_json(ExitCode code, std::string_view reason) const {
  const nlohmann::ordered_json content = {{"code", static_cast<int>(code)}, {"reason", reason}};
  write_file_atomically(
      path_ / "exit.json",
      content.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

fs::path RunDirectory::write_marker() const {
  const fs::path marker = path_ / ".visible";
  write_file_atomically(marker, "every rank must see this file\n");
  return marker;
}

void RunDirectory::remove_marker() const {
  std::error_code ignored;
  fs::remove(path_ / ".visible", ignored);
}

bool visible(const fs::path& marker) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    std::error_code ignored;
    // Reading the folder makes a network file system drop what it remembers of it.
    for (fs::directory_iterator entry(marker.parent_path(), ignored), end; !ignored && entry != end;
         entry.increment(ignored)) {
      if (entry->path().filename() == marker.filename()) return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

}  // namespace hetmoe
