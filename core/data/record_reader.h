#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace hetmoe {

/// What a reader gives out in one piece: a document, a part of one that was too long, or a line of
/// JSON that is still to be parsed.
struct Record {
  std::string bytes;
  std::int64_t begin_bytes = 0;  ///< where it stands in the text before compression
  std::int64_t line = 0;         ///< of JSON lines: its number, from 1
  bool continues = false;        ///< a further piece of the document before, which was too long
  std::size_t input = 0;         ///< of which input, where there are several
};

/// Between two records: enough for another reader of the same file to give out what comes next.
struct ReadPosition {
  std::int64_t bytes = 0;  ///< of the text before compression; where the next line begins
  std::int64_t lines = 0;  ///< JSON lines: those before it
  // Of text: what the document reader knew of the lines before.
  bool begins_line = true;
  bool line_waits = false;
  bool previous_line_blank = true;
  bool cut = false;
};

/// Parts one input into records, in bounded memory. Errors: StorageError naming the file.
class RecordReader {
 public:
  virtual ~RecordReader() = default;

  /// False at the end of the input. Reuses the memory of `out`.
  virtual bool next(Record& out) = 0;
  /// Behind the record given out last.
  virtual ReadPosition position() const = 0;
  /// Separators of documents met so far, from where this reader began.
  virtual std::int64_t num_separators() const = 0;
  /// Bytes of the file, compressed as it is, that were read so far.
  virtual std::int64_t file_bytes() const = 0;
};

}  // namespace hetmoe
