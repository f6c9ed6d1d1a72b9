#pragma once

#include <memory>
#include <string>

#include "core/data/byte_source.h"
#include "core/data/line_reader.h"
#include "core/data/record_reader.h"

namespace hetmoe {

constexpr std::int64_t kLongestJsonLineBytes = std::int64_t{1} << 28;  // 256 MiB

/// Gives out the lines of a file of JSON lines as they stand, unparsed; blank ones are passed over.
/// Memory: one line. Errors: StorageError, also for a line longer than `max_line_bytes`.
class JsonLinesReader final : public RecordReader {
 public:
  /// `path` names the file in errors. `begin`: what another reader gave as its position.
  JsonLinesReader(std::string path, std::unique_ptr<ByteSource> source,
                  const ReadPosition& begin = {},
                  std::int64_t max_line_bytes = kLongestJsonLineBytes);

  bool next(Record& out) override;
  ReadPosition position() const override;
  std::int64_t num_separators() const override { return 0; }
  std::int64_t file_bytes() const override { return lines_.file_bytes(); }

 private:
  std::string path_;
  LineReader lines_;
  std::int64_t max_line_bytes_;
  std::int64_t num_lines_;
};

/// What a line of JSON lines holds: a document's text, or what is wrong with it in one line.
struct JsonLine {
  std::string text;
  std::string fault;  ///< empty: nothing is wrong
};

/// The string that the object in `line` holds under `field`. Strict: one whole JSON object, valid
/// UTF-8, no surrogates without their partner, the field once and a string. Other fields are
/// parsed and dropped. Pure; any bytes may come.
JsonLine parse_json_line(const std::string& line, const std::string& field);

/// Whether a line is a JSON object, of any fields.
bool is_json_object(const std::string& line);

}  // namespace hetmoe
