#include "core/files/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 18;

[[noreturn]] void fail(const std::string& path, const char* action) {
  throw StorageError("cannot " + std::string(action) + " '" + path + "': " + std::strerror(errno));
}

void sync_folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? std::string(".") : parent.string();
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(folder, "open");
  const int result = ::fsync(descriptor);
  ::close(descriptor);
  if (result != 0) fail(folder, "sync");
}

}  // namespace

OutputFile::OutputFile(const std::string& path) : path_(path), partial_path_(path + ".partial") {
  descriptor_ = ::open(partial_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(partial_path_, "write");
  // A leftover of a killed process is taken over; the lock tells it from a live one.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor_);
    throw StorageError("cannot write '" + partial_path_ + "': another process is writing it");
  }
  if (::ftruncate(descriptor_, 0) != 0) {
    const int error = errno;
    ::close(descriptor_);
    errno = error;
    fail(partial_path_, "write");
  }
  buffer_.reserve(kBufferBytes);
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  ::unlink(partial_path_.c_str());
  ::close(descriptor_);
}

void OutputFile::write(std::span<const std::byte> bytes) {
  written_bytes_ += static_cast<std::int64_t>(bytes.size());
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void OutputFile::write(const std::string& text) { write(std::as_bytes(std::span(text))); }

void OutputFile::flush() {
  std::size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t written = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(partial_path_, "write");
    done += static_cast<std::size_t>(written);
  }
  buffer_.clear();
}

void OutputFile::sync() {
  flush();
  if (::fsync(descriptor_) != 0) fail(partial_path_, "sync");
}

void OutputFile::commit() {
  sync();
  if (::rename(partial_path_.c_str(), path_.c_str()) != 0) fail(path_, "rename to");
  ::close(descriptor_);
  descriptor_ = -1;
  sync_folder_of(path_);
}

void OutputFile::read_back(std::int64_t offset_bytes, std::span<std::byte> out) {
  flush();
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(descriptor_, out.data() + done, out.size() - done,
                                offset_bytes + static_cast<std::int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(partial_path_, "read");
    if (got == 0) throw StorageError("cannot read '" + partial_path_ + "': it became shorter");
    done += static_cast<std::size_t>(got);
  }
}

}  // namespace hetmoe
