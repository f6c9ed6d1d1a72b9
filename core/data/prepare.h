#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/data/split_writer.h"

namespace hetmoe {

struct PrepareOptions {
  std::vector<std::string> inputs;  ///< files, and folders of files
  std::string out_directory;        ///< gets {train,valid}.{bin,idx,json} and the tokenizer's files
  /// What the files are, compressed or not: "text", "json-lines" (a document is a line), or "auto".
  std::string input_format = "auto";
  std::string json_field = "text";  ///< of JSON lines: what holds the document
  bool skip_invalid = false;        ///< count and pass over lines of JSON that are not valid
  std::string tokenizer;            ///< as make_tokenizer takes it
  std::string end_of_document;      ///< token that ends a tokenizer.json's texts; empty: its own
  /// > 0: first train a SentencePiece model of this size on the inputs; `tokenizer` stays empty.
  std::int64_t train_vocabulary = 0;
  double valid_fraction = 0.05;  ///< of the documents, in [0, 0.5]; 0: no held-out shard
  /// What parts a text into documents: "file" (one each), "blank-line" (one or more blank lines),
  /// "unindented-line" (a line without indentation after a blank one begins a document, as in
  /// dictionaries), or the text of a line that stands between documents.
  std::string document_separator = "file";
  std::uint64_t seed = 1;  ///< of the split and of the tokenizer's training sample
  bool overwrite = false;  ///< --force: replace what stands in out_directory
  std::int64_t max_document_bytes = std::int64_t{16} << 20;  ///< longer documents are cut
  int workers = 0;  ///< threads that encode, each with a tokenizer of its own; 0: the cores
  /// Text between two points from which an interrupted preparation goes on.
  std::int64_t save_every_bytes = std::int64_t{128} << 20;
  std::string sentencepiece_executable;  ///< empty: beside the running program
};

struct PrepareProgress {
  std::string stage;  ///< "sampling text", "training tokenizer", "encoding" or "done"
  bool resumed = false;
  std::int64_t read_bytes = 0;  ///< of the files as they lie there, in this stage
  std::int64_t total_bytes = 0;
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
};

struct PrepareSummary {
  SplitSize train;
  SplitSize valid;
  std::int64_t vocab_size = 0;
  std::int64_t skipped_lines = 0;
};

/// Files of text or JSON lines, plain, gzip or zstd, to token shards. The result depends on the
/// documents and the options, not on the number of workers, and which documents are held out on
/// (seed, document's number) only. Memory is bounded whatever the size of the input: by about six
/// times the longest document for each worker.
///
/// A preparation that was interrupted, by SIGKILL or by an error of the system, goes on when it is
/// asked for again with the same options and inputs (names, sizes, times of change), to the same
/// bytes; nothing that could be taken for a result stands there before. Without a point to go on
/// from, and for errors that would come again, nothing stays.
///
/// `progress` is called about once per MiB on this thread; it may throw to stop the work.
/// Errors: ConfigError for options, for a split that would be empty and for an unfinished
/// preparation of another command; StorageError for files, naming file and line of JSON lines, file
/// and byte of what is cut short or text that the tokenizer cannot take.
PrepareSummary prepare(const PrepareOptions& options,
                       const std::function<void(const PrepareProgress&)>& progress = {});

}  // namespace hetmoe
