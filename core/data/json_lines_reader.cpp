#include "core/data/json_lines_reader.h"

#include <utility>

#include "core/base/error.h"

namespace hetmoe {

JsonLinesReader::JsonLinesReader(std::string path, std::unique_ptr<ByteSource> source,
                                 const ReadPosition& begin, std::int64_t max_line_bytes)
    : path_(std::move(path)),
      lines_(std::move(source), max_line_bytes, begin.bytes),
      max_line_bytes_(max_line_bytes),
      num_lines_(begin.lines) {}

ReadPosition JsonLinesReader::position() const {
  return {.bytes = lines_.next_begin_bytes(), .lines = num_lines_};
}

bool JsonLinesReader::next(Record& out) {
  while (lines_.next(out.bytes)) {
    if (!lines_.begins_line()) {
      throw StorageError("'" + path_ + "' line " + std::to_string(num_lines_) + ": longer than " +
                         std::to_string(max_line_bytes_) +
                         " bytes, which is the most of JSON lines");
    }
    ++num_lines_;
    if (out.bytes.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    out.begin_bytes = lines_.begin_bytes();
    out.line = num_lines_;
    out.continues = false;
    return true;
  }
  return false;
}

}  // namespace hetmoe
