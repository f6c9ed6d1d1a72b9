#include "runtime/coordinator/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/files/atomic_file.h"

namespace hetmoe {
namespace {

// A thousand lines of the longest state, and some.
constexpr std::int64_t kLongestFileBytes = 64 << 20;

[[noreturn]] void fail(const char* action, const std::filesystem::path& path, int failure) {
  throw StorageError(std::string("cannot ") + action + " '" + path.string() +
                     "': " + std::strerror(failure));
}

FileDescriptor lock(const std::filesystem::path& journal) {
  const std::filesystem::path path = journal.string() + ".lock";
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644));
  if (!file.is_open()) fail("open", path, errno);
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      throw StorageError("'" + journal.string() + "' is held by another coordinator: '" +
                         path.string() + "' is locked");
    }
    if (errno != EINTR) break;  // there are no locks here
  }
  return file;
}

/// Nothing of a file that does not exist.
std::string contents_of(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) {
    if (errno == ENOENT) return "";
    fail("open", path, errno);
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail("inspect", path, errno);
  if (!S_ISREG(status.st_mode)) throw StorageError("'" + path.string() + "' is no plain file");
  if (status.st_size > kLongestFileBytes) {
    throw StorageError(detail::concatenate("'", path.string(), "' is ", status.st_size,
                                           " bytes long, allowed: up to ", kLongestFileBytes));
  }
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  const std::int64_t got = read_fully(file.get(), 0, std::as_writable_bytes(std::span(text)));
  if (got < 0) fail("read", path, errno);
  text.resize(static_cast<std::size_t>(got));
  return text;
}

/// 0, or the errno. The file must exist.
int append_and_sync(const std::filesystem::path& path, const std::string& text) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!file.is_open()) return errno;
  struct stat before {};
  if (::fstat(file.get(), &before) != 0) return errno;
  int failure = write_fully(file.get(), std::as_bytes(std::span(text)));
  if (failure == 0 && ::fdatasync(file.get()) != 0) failure = errno;
  if (failure != 0) {
    // What was not acknowledged should not be found again. If it cannot be taken back, whoever
    // reads drops a torn line, and the next record rewrites the file.
    [[maybe_unused]] const int taken_back = ::ftruncate(file.get(), before.st_size);
  }
  return failure;
}

}  // namespace

Journal::Journal(std::filesystem::path path) : path_(std::move(path)), lock_(lock(path_)) {
  const std::string text = contents_of(path_);
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string source = detail::concatenate(path_.string(), ":", ++lines_);
    state_ = read_journal_state(text.substr(begin, end - begin), source);
    begin = end + 1;
  }
  const bool is_torn = begin < text.size();
  if (lines_ > 1 || is_torn) {
    rewrite(lines_ > 0 ? write_journal_state(state_) + "\n" : "", lines_ > 0 ? 1 : 0);
  } else if (lines_ == 0) {
    rewrite("", 0);
  }
}

void Journal::record(const JournalState& state) {
  JournalState recorded = state;
  const std::string line = write_journal_state(state) + "\n";
  if (has_failed_ || lines_ >= kMostLines) {
    rewrite(line, 1);
  } else {
    append(line);
  }
  state_ = std::move(recorded);
}

void Journal::append(const std::string& line) {
  const int failure = append_and_sync(path_, line);
  has_failed_ = failure != 0;
  if (has_failed_) fail("append to", path_, failure);
  ++lines_;
}

void Journal::rewrite(const std::string& text, std::int64_t lines) {
  write_file_atomically(path_, text);
  lines_ = lines;
  has_failed_ = false;
}

}  // namespace hetmoe
