#pragma once

#include <string>

#include "core/data/byte_source.h"
#include "core/files/file_descriptor.h"

namespace hetmoe {

/// A file as it is.
class PlainSource final : public ByteSource {
 public:
  explicit PlainSource(const std::string& path);

  std::size_t read(std::span<char> out) override;
  void skip(std::int64_t count_bytes) override;
  std::int64_t file_bytes() const override { return position_bytes_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  FileDescriptor descriptor_;
  std::int64_t position_bytes_ = 0;
};

}  // namespace hetmoe
