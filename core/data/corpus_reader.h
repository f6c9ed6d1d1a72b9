#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/data/corpus_inputs.h"
#include "core/data/document_reader.h"
#include "core/data/record_reader.h"

namespace hetmoe {

struct CorpusOptions {
  DocumentSeparator separator;  ///< of text
  std::string json_field = "text";
  std::int64_t max_document_bytes = std::int64_t{16} << 20;  ///< longer documents are cut
  bool skip_invalid = false;
};

/// A place between two records of a corpus.
struct CorpusPosition {
  std::size_t input = 0;
  ReadPosition within;
  std::int64_t separators = 0;  ///< met before it, in all inputs
};

/// All inputs, record after record, on one thread. `inputs` must outlive it.
/// Errors: StorageError naming the file.
class CorpusReader {
 public:
  CorpusReader(const std::vector<InputFile>& inputs, const CorpusOptions& options,
               const CorpusPosition& begin = {});

  /// False at the end of the last input.
  bool next(Record& out);
  CorpusPosition position() const;
  /// Bytes of the files that were read, those before the beginning included where whole files are.
  std::int64_t file_bytes() const;

 private:
  void open(const ReadPosition& begin);

  const std::vector<InputFile>& inputs_;
  CorpusOptions options_;
  std::size_t input_;
  std::unique_ptr<RecordReader> reader_;  ///< none: at the end
  std::int64_t separators_before_;
  std::int64_t file_bytes_before_ = 0;
};

/// A document, or a piece of one that was too long.
struct Piece {
  std::string text;
  bool continues = false;
};

/// Makes documents of a record: of text the record itself, of a line of JSON what its field holds,
/// cut as long text is cut; an empty text is none. False for an invalid line under `skip_invalid`.
/// Appends to `out`. Pure: any thread. Errors: StorageError "'FILE' line N: ..." for a bad line.
bool append_pieces(Record&& record, const InputFile& input, const CorpusOptions& options,
                   std::vector<Piece>& out);

}  // namespace hetmoe
