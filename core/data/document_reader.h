#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hetmoe {

/// Where a text file parts into documents.
struct DocumentSeparator {
  enum class Kind { kFile, kBlankLine, kUnindentedLine, kLine };
  Kind kind = Kind::kFile;
  std::string line;  ///< of kLine

  /// "file", "blank-line", "unindented-line", or the text of a line. ConfigError when empty.
  static DocumentSeparator parse(const std::string& text);
};

struct Document {
  std::string text;
  std::int64_t begin_bytes = 0;  ///< where it stands in the file
  bool continues = false;        ///< a further piece of the document before, which was too long
};

/// Reads one text file document by document, in memory bounded by the longest document allowed.
/// Except for "file" the white space that ends a document is not part of it. Documents without text
/// are passed over. Errors: StorageError naming the file.
class DocumentReader {
 public:
  DocumentReader(const std::string& path, DocumentSeparator separator,
                 std::int64_t max_document_bytes);
  ~DocumentReader();
  DocumentReader(const DocumentReader&) = delete;
  DocumentReader& operator=(const DocumentReader&) = delete;

  /// False at the end of the file. Reuses the memory of `out`.
  bool next(Document& out);

  std::int64_t read_bytes() const { return read_bytes_; }
  /// Separators met so far: 0 at the end means that the file is one document.
  std::int64_t num_separators() const { return num_separators_; }

 private:
  bool read_line();
  bool fill_block();
  bool separates() const;
  bool begins_document() const;
  bool close(Document& out) const;

  std::string path_;
  DocumentSeparator separator_;
  std::size_t max_document_bytes_;
  int descriptor_ = -1;
  std::string block_;
  std::size_t block_position_ = 0;
  std::string line_;  ///< with its line end; without one if cut or last
  std::int64_t line_begin_bytes_ = 0;
  bool line_is_whole_begin_ = true;  ///< false: the rest of a line that was cut
  bool line_waits_ = false;          ///< read, but belongs to the next document
  bool previous_line_blank_ = true;
  bool cut_ = false;  ///< the document before was cut at the limit
  std::int64_t read_bytes_ = 0;
  std::int64_t num_separators_ = 0;
};

}  // namespace hetmoe
