#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/data/byte_source.h"
#include "core/data/line_reader.h"
#include "core/data/record_reader.h"

namespace hetmoe {

/// Where a text file parts into documents.
struct DocumentSeparator {
  enum class Kind { kFile, kBlankLine, kUnindentedLine, kLine };
  Kind kind = Kind::kFile;
  std::string line;  ///< of kLine

  /// "file", "blank-line", "unindented-line", or the text of a line. ConfigError when empty.
  static DocumentSeparator parse(const std::string& text);
};

/// Parts a text into documents, in memory bounded by the longest document allowed; longer ones are
/// cut, at a line end where there is one. Except for "file" the white space that ends a document is
/// not part of it. Documents without text are passed over.
class DocumentReader final : public RecordReader {
 public:
  /// `begin`: what another reader of the same text, separator and limit gave as its position.
  DocumentReader(std::unique_ptr<ByteSource> source, DocumentSeparator separator,
                 std::int64_t max_document_bytes, const ReadPosition& begin = {});

  bool next(Record& out) override;
  ReadPosition position() const override;
  /// 0 at the end of a file means that it is one document.
  std::int64_t num_separators() const override { return num_separators_; }
  std::int64_t file_bytes() const override { return lines_.file_bytes(); }

 private:
  bool separates() const;
  bool begins_document() const;
  bool close(Record& out) const;

  DocumentSeparator separator_;
  std::size_t max_document_bytes_;
  LineReader lines_;
  std::string line_;         ///< with its line end; without one if cut or last
  bool line_waits_ = false;  ///< read, but belongs to the next document
  bool previous_line_blank_;
  bool cut_;  ///< the document before was cut at the limit
  std::int64_t num_separators_ = 0;
};

}  // namespace hetmoe
