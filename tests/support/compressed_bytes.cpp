#include "tests/support/compressed_bytes.h"

#include <zlib.h>
#include <zstd.h>

#include <stdexcept>

namespace hetmoe::test {
namespace {

std::size_t checked(std::size_t result) {
  if (::ZSTD_isError(result)) throw std::runtime_error(::ZSTD_getErrorName(result));
  return result;
}

}  // namespace

std::string gzip_bytes(const std::string& text) {
  z_stream stream{};
  if (::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2");
  }
  std::string out(::deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (::deflate(&stream, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("deflate");
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string zstd_bytes(const std::string& text) { return zstd_bytes_with_window(text, 0); }

std::string zstd_bytes_with_window(const std::string& text, int window_log) {
  ZSTD_CCtx* context = ::ZSTD_createCCtx();
  checked(::ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1));
  checked(::ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log));
  std::string out(::ZSTD_compressBound(text.size()) + 64, '\0');
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  // In two calls: a frame whose size is known would not name its window.
  ZSTD_inBuffer input{text.data(), text.size(), 0};
  while (input.pos < input.size) {
    checked(::ZSTD_compressStream2(context, &output, &input, ZSTD_e_continue));
  }
  while (checked(::ZSTD_compressStream2(context, &output, &input, ZSTD_e_end)) > 0) {
  }
  out.resize(output.pos);
  ::ZSTD_freeCCtx(context);
  return out;
}

}  // namespace hetmoe::test
