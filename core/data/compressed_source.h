#pragma once

#include <string>
#include <vector>

#include "core/data/plain_source.h"

namespace hetmoe {

/// What gzip and zstd share: compressed bytes come in blocks, and passing over is decompressing.
class CompressedSource : public ByteSource {
 public:
  void skip(std::int64_t count_bytes) final;
  std::int64_t file_bytes() const final { return file_.file_bytes(); }

 protected:
  explicit CompressedSource(const std::string& path) : file_(path) {}

  /// The next block of the file, until the call after; empty at its end.
  std::span<char> next_block();
  /// "'PATH' at byte N: ", N counted from the `unused_bytes` of the block that are still to read.
  std::string place(std::size_t unused_bytes) const;

 private:
  PlainSource file_;
  std::vector<char> block_;
};

}  // namespace hetmoe
