#include "core/data/zstd_source.h"

#include <zstd.h>

#include <new>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr int kLargestWindowLog = 27;

}  // namespace

struct ZstdSource::Decompressor {
  Decompressor() : context(::ZSTD_createDCtx()) {
    if (context == nullptr) throw std::bad_alloc();
    const std::size_t result =
        ::ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, kLargestWindowLog);
    HETMOE_CHECK(!::ZSTD_isError(result), ::ZSTD_getErrorName(result));
  }
  ~Decompressor() { ::ZSTD_freeDCtx(context); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  ZSTD_DCtx* context;
  ZSTD_inBuffer input{nullptr, 0, 0};
};

ZstdSource::ZstdSource(const std::string& path)
    : CompressedSource(path), decompressor_(std::make_unique<Decompressor>()) {}

ZstdSource::~ZstdSource() = default;

/// False at the end of the file.
bool ZstdSource::has_input() {
  ZSTD_inBuffer& input = decompressor_->input;
  if (input.pos < input.size || may_hold_output_) return true;
  const std::span<char> block = next_block();
  input = {block.data(), block.size(), 0};
  if (block.empty() && within_frame_) {
    throw StorageError(place(0) + "the zstd stream is cut short");
  }
  return !block.empty();
}

std::size_t ZstdSource::read(std::span<char> out) {
  HETMOE_CHECK(!out.empty(), "no room to read into");
  ZSTD_inBuffer& input = decompressor_->input;
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  while (output.pos == 0 && has_input()) {
    const std::size_t result = ::ZSTD_decompressStream(decompressor_->context, &output, &input);
    if (::ZSTD_isError(result)) {
      throw StorageError(place(input.size - input.pos) + "not a whole zstd stream (" +
                         ::ZSTD_getErrorName(result) + ")");
    }
    within_frame_ = result != 0;  // 0: a frame is decoded, and all of it given out
    may_hold_output_ = within_frame_ && output.pos == output.size;
  }
  return output.pos;
}

}  // namespace hetmoe
