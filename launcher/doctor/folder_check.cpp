#include <fcntl.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>

#include "core/files/file_descriptor.h"
#include "launcher/doctor/checks.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLittleRoomBytes = std::int64_t{2} << 30;

/// Of statfs(2); those that several machines may see.
std::string network_name(std::int64_t type) {
  static const std::map<std::int64_t, std::string> kNames = {
      {0x6969, "NFS"},      {0x0BD00BD0, "Lustre"}, {0x47504653, "GPFS"},   {0xFE534D42, "SMB"},
      {0xFF534D42, "CIFS"}, {0x19830326, "BeeGFS"}, {0x00C36400, "CephFS"}, {0x65735546, "FUSE"}};
  const auto found = kNames.find(type & 0xFFFFFFFF);
  return found == kNames.end() ? "" : found->second;
}

/// Files of a name of our own, gone with this.
class TrialFiles {
 public:
  explicit TrialFiles(const fs::path& folder)
      : first(folder / (".hetmoe-doctor-" + std::to_string(::getpid()))),
        second(first.string() + ".renamed") {}
  ~TrialFiles() {
    std::error_code ignored;
    fs::remove(first, ignored);
    fs::remove(second, ignored);
  }
  TrialFiles(const TrialFiles&) = delete;
  TrialFiles& operator=(const TrialFiles&) = delete;

  const fs::path first;
  const fs::path second;
};

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

/// What a run asks of the folder; empty: all of it works.
std::string trial_fault(const fs::path& folder) {
  const TrialFiles files(folder);
  FileDescriptor opened(::open(files.first.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (!opened.is_open()) return failed("no file can be made");
  const std::string words = "hetmoe";
  if (const int error = write_fully(opened.get(), std::as_bytes(std::span(words))); error != 0)
    return std::string("not writable: ") + std::strerror(error);
  if (::fsync(opened.get()) != 0) return failed("fsync fails");
  if (::flock(opened.get(), LOCK_EX | LOCK_NB) != 0)
    return failed("flock fails, which keeps two runs apart");
  if (::rename(files.first.c_str(), files.second.c_str()) != 0) return failed("rename fails");
  if (const int error = sync_folder_of(files.second); error != 0)
    return std::string("the folder cannot be synced: ") + std::strerror(error);
  return "";
}

/// It, or the next above that is there: a run makes what is missing.
fs::path existing(const fs::path& folder) {
  std::error_code ignored;
  fs::path found = fs::absolute(folder, ignored);
  while (!fs::exists(found, ignored) && found.has_relative_path()) found = found.parent_path();
  return found;
}

}  // namespace

Findings check_folder(const std::string& folder) {
  const fs::path path = existing(folder);
  const std::string place = "'" + folder + "'";
  std::error_code ignored;
  if (!fs::is_directory(path, ignored))
    return {wrong("file system", "'" + path.string() + "' is no folder", "name another --run-dir",
                  ExitCode::kStorage)};
  const std::string fault = trial_fault(path);
  if (!fault.empty())
    return {wrong("file system", place + ": " + fault,
                  "name a folder of yours with --run-dir, on a file system with room and locks",
                  ExitCode::kStorage)};
  struct statfs system = {};
  if (::statfs(path.c_str(), &system) != 0)
    return {warning("file system", failed(place), "look at its mount")};
  const std::string network = network_name(system.f_type);
  const auto room =
      static_cast<std::int64_t>(system.f_bavail) * static_cast<std::int64_t>(system.f_bsize);
  const std::string words = place +
                            (network.empty() ? " (of this machine)" : " (" + network + ")") +
                            " writes, renames, locks and syncs; " + bytes_text(room) + " free";
  if (room < kLittleRoomBytes)
    return {
        warning("file system", words, "a checkpoint takes 12 bytes per parameter, two are kept")};
  return {ok("file system",
             words + (network.empty() ? "; several hosts need one that all of them see" : ""))};
}

}  // namespace hetmoe
