#pragma once

#include <cstdint>
#include <vector>

#include "core/data/corpus_reader.h"
#include "core/data/tokenizer.h"

namespace hetmoe {

struct EncodedDocument {
  std::vector<std::int32_t> tokens;  ///< with the end of the document
  std::int64_t raw_bytes = 0;
  bool continues = false;  ///< a further piece of the document before
};

/// Some records on their way from the reader to the writer.
struct EncodeBatch {
  std::vector<Record> records;
  std::int64_t record_bytes = 0;  ///< memory of the records as they were read
  // Of the reader behind the last record.
  CorpusPosition end;
  std::int64_t file_bytes = 0;
  // What encoding makes of the records.
  std::vector<EncodedDocument> documents;
  std::int64_t skipped_lines = 0;
};

/// Reads about 1 MiB of records; false at the end, where `batch` may hold the last ones.
bool read_batch(CorpusReader& reader, EncodeBatch& batch);

/// Turns the records of a batch into its documents. Any thread with a tokenizer of its own.
/// Errors: StorageError for a bad line of JSON, for text that the tokenizer cannot take (naming
/// file and byte), and those of the tokenizer.
void encode_batch(const std::vector<InputFile>& inputs, const CorpusOptions& options,
                  Tokenizer& tokenizer, EncodeBatch& batch);

}  // namespace hetmoe
