#include "core/files/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/base/error.h"
#include "core/files/file_descriptor.h"

namespace hetmoe {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 18;

[[noreturn]] void fail(const std::string& path, const char* action, int failure = errno) {
  throw StorageError("cannot " + std::string(action) + " '" + path +
                     "': " + std::strerror(failure));
}

}  // namespace

OutputFile::OutputFile(const std::string& path)
    : path_(path),
      partial_path_(path + ".partial"),
      descriptor_(::open(partial_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  lock();
  cut(0);
}

OutputFile::OutputFile(const std::string& path, std::int64_t kept_bytes)
    : path_(path),
      partial_path_(path + ".partial"),
      descriptor_(::open(partial_path_.c_str(), O_RDWR | O_CLOEXEC)),
      kept_(true) {
  lock();
  const off_t size = ::lseek(descriptor_.get(), 0, SEEK_END);
  if (size < 0) fail(partial_path_, "read");
  if (size < kept_bytes) {
    throw StorageError("cannot go on with '" + partial_path_ + "': it holds " +
                       std::to_string(size) + " bytes of " + std::to_string(kept_bytes));
  }
  cut(kept_bytes);
}

// A leftover of a killed process is taken over; the lock tells it from a live one.
void OutputFile::lock() {
  if (!descriptor_.is_open()) fail(partial_path_, "write");
  if (::flock(descriptor_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw StorageError("cannot write '" + partial_path_ + "': another process is writing it");
  }
}

void OutputFile::cut(std::int64_t bytes) {
  if (::ftruncate(descriptor_.get(), bytes) != 0 ||
      ::lseek(descriptor_.get(), bytes, SEEK_SET) < 0) {
    fail(partial_path_, "write");
  }
  written_bytes_ = bytes;
  buffer_.reserve(kBufferBytes);
}

OutputFile::~OutputFile() {
  if (descriptor_.is_open() && !kept_) ::unlink(partial_path_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) {
  written_bytes_ += static_cast<std::int64_t>(bytes.size());
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void OutputFile::write(const std::string& text) { write(std::as_bytes(std::span(text))); }

void OutputFile::flush() {
  if (const int failure = write_fully(descriptor_.get(), buffer_); failure != 0) {
    fail(partial_path_, "write", failure);
  }
  buffer_.clear();
}

void OutputFile::sync() {
  flush();
  if (::fsync(descriptor_.get()) != 0) fail(partial_path_, "sync");
}

void OutputFile::commit() {
  sync();
  if (::rename(partial_path_.c_str(), path_.c_str()) != 0) fail(path_, "rename to");
  descriptor_.close();
  const int failure = sync_folder_of(path_);
  if (failure != 0) fail(path_, "sync the folder of", failure);
}

void OutputFile::read_back(std::int64_t offset_bytes, std::span<std::byte> out) {
  flush();
  const std::int64_t got = read_fully(descriptor_.get(), offset_bytes, out);
  if (got < 0) fail(partial_path_, "read");
  if (got < static_cast<std::int64_t>(out.size())) {
    throw StorageError("cannot read '" + partial_path_ + "': it became shorter");
  }
}

}  // namespace hetmoe
