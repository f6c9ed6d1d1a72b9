#include "core/data/byte_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "core/base/error.h"
#include "core/data/gzip_source.h"
#include "core/data/plain_source.h"
#include "core/data/zstd_source.h"

namespace hetmoe {
namespace {

[[noreturn]] void fail(const char* action, const std::string& path) {
  throw StorageError("cannot " + std::string(action) + " '" + path + "': " + std::strerror(errno));
}

// RFC 8878: a frame, or one that readers pass over (0x184D2A50 to 0x184D2A5F).
bool begins_zstd(std::string_view head) {
  if (head.starts_with("\x28\xB5\x2F\xFD")) return true;
  return head.size() >= 4 && (static_cast<unsigned char>(head[0]) & 0xF0) == 0x50 &&
         head.substr(1, 3) == "\x2A\x4D\x18";
}

}  // namespace

PlainSource::PlainSource(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (!descriptor_.is_open()) fail("open", path_);
}

std::size_t PlainSource::read(std::span<char> out) {
  ssize_t got = 0;
  do {
    got = ::read(descriptor_.get(), out.data(), out.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0) fail("read", path_);
  position_bytes_ += got;
  return static_cast<std::size_t>(got);
}

void PlainSource::skip(std::int64_t count_bytes) {
  const off_t end = ::lseek(descriptor_.get(), 0, SEEK_END);
  const std::int64_t target = position_bytes_ + count_bytes;
  if (end < 0) fail("read", path_);
  if (end < target) {
    throw StorageError("cannot go on in '" + path_ + "' at byte " + std::to_string(target) +
                       ": it ends at byte " + std::to_string(end));
  }
  if (::lseek(descriptor_.get(), target, SEEK_SET) < 0) fail("read", path_);
  position_bytes_ = target;
}

const char* name_of(Compression compression) {
  constexpr std::array kNames = {"", "gzip", "zstd"};
  return kNames.at(static_cast<std::size_t>(compression));
}

Compression compression_of(const std::string& path) {
  PlainSource file(path);
  std::array<char, 4> bytes{};
  const std::string_view head(bytes.data(), file.read(bytes));
  if (head.starts_with("\x1F\x8B")) return Compression::kGzip;
  return begins_zstd(head) ? Compression::kZstd : Compression::kNone;
}

std::unique_ptr<ByteSource> open_byte_source(const std::string& path) {
  switch (compression_of(path)) {
    case Compression::kGzip:
      return std::make_unique<GzipSource>(path);
    case Compression::kZstd:
      return std::make_unique<ZstdSource>(path);
    case Compression::kNone:
      break;
  }
  return std::make_unique<PlainSource>(path);
}

}  // namespace hetmoe
