#pragma once

#include <memory>

#include "core/data/compressed_source.h"

namespace hetmoe {

/// A zstd file: one frame or several behind one another, which are one text. Frames whose window
/// is larger than 128 MiB (zstd --long above 27) are refused: they would ask for that much memory.
class ZstdSource final : public CompressedSource {
 public:
  explicit ZstdSource(const std::string& path);
  ~ZstdSource() override;

  std::size_t read(std::span<char> out) override;

 private:
  struct Decompressor;
  bool has_input();

  std::unique_ptr<Decompressor> decompressor_;
  bool within_frame_ = false;
  bool may_hold_output_ = false;
};

}  // namespace hetmoe
