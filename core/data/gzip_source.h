#pragma once

#include <memory>

#include "core/data/compressed_source.h"

namespace hetmoe {

/// A gzip file: one member or several behind one another, which are one text. Checksums are
/// checked; bytes behind the last member that are none are refused.
class GzipSource final : public CompressedSource {
 public:
  explicit GzipSource(const std::string& path);
  ~GzipSource() override;

  std::size_t read(std::span<char> out) override;

 private:
  struct Inflater;
  bool has_input();
  void inflate_some();

  std::unique_ptr<Inflater> inflater_;
  bool within_member_ = false;
  bool may_hold_output_ = false;
};

}  // namespace hetmoe
