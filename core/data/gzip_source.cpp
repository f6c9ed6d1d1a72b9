#include "core/data/gzip_source.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr int kGzipOnly = 15 + 16;  // the largest window, and no format but gzip

}  // namespace

struct GzipSource::Inflater {
  Inflater() {
    if (::inflateInit2(&stream, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { ::inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};
};

GzipSource::GzipSource(const std::string& path)
    : CompressedSource(path), inflater_(std::make_unique<Inflater>()) {}

GzipSource::~GzipSource() = default;

/// False at the end of the file.
bool GzipSource::has_input() {
  z_stream& stream = inflater_->stream;
  if (stream.avail_in > 0 || may_hold_output_) return true;
  const std::span<char> block = next_block();
  stream.next_in = reinterpret_cast<Bytef*>(block.data());
  stream.avail_in = static_cast<uInt>(block.size());
  if (block.empty() && within_member_) {
    throw StorageError(place(0) + "the gzip stream is cut short");
  }
  return !block.empty();
}

void GzipSource::inflate_some() {
  z_stream& stream = inflater_->stream;
  if (!within_member_) ::inflateReset(&stream);
  within_member_ = true;
  const int result = ::inflate(&stream, Z_NO_FLUSH);
  if (result == Z_MEM_ERROR) throw std::bad_alloc();
  if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
    throw StorageError(place(stream.avail_in) + "not a whole gzip stream" +
                       (stream.msg == nullptr ? "" : std::string(" (") + stream.msg + ")"));
  }
  within_member_ = result != Z_STREAM_END;
  may_hold_output_ = within_member_ && stream.avail_out == 0;
}

std::size_t GzipSource::read(std::span<char> out) {
  HETMOE_CHECK(!out.empty(), "no room to read into");
  z_stream& stream = inflater_->stream;
  const std::size_t room = std::min<std::size_t>(out.size(), std::numeric_limits<uInt>::max());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(room);
  while (stream.avail_out == room && has_input()) inflate_some();
  return room - stream.avail_out;
}

}  // namespace hetmoe
