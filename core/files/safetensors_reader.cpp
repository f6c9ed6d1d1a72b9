#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <utility>

#include "core/base/check.h"
#include "core/files/read_failure.h"
#include "core/files/safetensors_layout.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kLengthBytes = 8;

FileDescriptor open_for_reading(const std::filesystem::path& path) {
  // Not blocking: a named pipe must not stop us before fstat tells what it is.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) fail_to_read("open", path, errno);
  return file;
}

std::int64_t size_of(const FileDescriptor& file, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail_to_read("read", path, errno);
  if (!S_ISREG(status.st_mode)) {
    throw StorageError("cannot read '" + path.string() + "': not a regular file");
  }
  return status.st_size;
}

void read_exactly(const FileDescriptor& file, std::int64_t offset_bytes, std::span<std::byte> out,
                  const std::filesystem::path& path) {
  const std::int64_t got = read_fully(file.get(), offset_bytes, out);
  if (got < 0) fail_to_read("read", path, errno);
  if (got < static_cast<std::int64_t>(out.size())) {
    throw StorageError("cannot read '" + path.string() + "': it became shorter, it ends at byte " +
                       std::to_string(offset_bytes + got));
  }
}

std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  }
  return value;
}

}  // namespace

SafetensorsReader::SafetensorsReader(std::filesystem::path path)
    : path_(std::move(path)), file_(open_for_reading(path_)) {
  const std::string name = path_.string();
  const std::int64_t file_bytes = size_of(file_, path_);
  if (file_bytes < kLengthBytes) {
    throw StorageError(name + ": " + std::to_string(file_bytes) +
                       " bytes, a safetensors file has at least 8");
  }
  std::array<std::byte, kLengthBytes> length{};
  read_exactly(file_, 0, length, path_);
  const std::uint64_t header_bytes = little_endian(length);
  require_header_length(header_bytes, name);
  data_begin_ = kLengthBytes + static_cast<std::int64_t>(header_bytes);
  if (data_begin_ > file_bytes) {
    throw StorageError(name + ": its header ends at byte " + std::to_string(data_begin_) +
                       ", the file at " + std::to_string(file_bytes));
  }
  std::string text(header_bytes, '\0');
  read_exactly(file_, kLengthBytes, std::as_writable_bytes(std::span(text)), path_);
  header_ = parse_safetensors_header(text, file_bytes - data_begin_, name);
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
    index_.emplace(header_.tensors[i].name, i);
  }
}

const TensorInfo* SafetensorsReader::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &header_.tensors[found->second];
}

void SafetensorsReader::read(const TensorInfo& tensor, std::int64_t begin,
                             std::span<std::byte> out) const {
  const auto bytes = static_cast<std::int64_t>(out.size());
  HETMOE_CHECK(begin >= 0 && bytes <= tensor.bytes() && begin <= tensor.bytes() - bytes, bytes,
               " bytes from ", begin, " of tensor ", tensor.name, " of ", tensor.bytes());
  read_exactly(file_, data_begin_ + tensor.begin + begin, out, path_);
}

}  // namespace hetmoe
