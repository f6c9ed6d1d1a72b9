#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/data/byte_source.h"

namespace hetmoe {

/// Lines of a source, each with its line end. A line longer than the limit comes in pieces, cut
/// between characters. Memory: one line and a block of 256 KiB. Errors: those of the source.
class LineReader {
 public:
  /// Begins `begin_bytes` behind the source's first byte; `begins_line`: a line begins there.
  LineReader(std::unique_ptr<ByteSource> source, std::int64_t max_line_bytes,
             std::int64_t begin_bytes = 0, bool begins_line = true);

  /// False at the end. Replaces `line`, which is never empty after.
  bool next(std::string& line);

  // Of the line given out last.
  std::int64_t begin_bytes() const { return begin_bytes_; }
  bool begins_line() const { return begins_line_; }  ///< false: the rest of a line that was cut

  // Of the line that comes next.
  std::int64_t next_begin_bytes() const { return next_begin_bytes_; }
  bool next_begins_line() const { return next_begins_line_; }

  std::int64_t file_bytes() const { return source_->file_bytes(); }

 private:
  bool fill_block();

  std::unique_ptr<ByteSource> source_;
  std::size_t max_line_bytes_;
  std::string block_;
  std::size_t block_position_ = 0;
  std::int64_t begin_bytes_;
  std::int64_t next_begin_bytes_;
  bool begins_line_;
  bool next_begins_line_;
};

}  // namespace hetmoe
