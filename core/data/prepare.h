#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace hetmoe {

struct PrepareOptions {
  std::vector<std::string> inputs;  ///< text files
  std::string out_directory;        ///< gets {train,valid}.{bin,idx,json} and tokenizer.model
  std::string tokenizer;            ///< "bytes" or the path of a SentencePiece model
  /// > 0: first train a SentencePiece model of this size on the inputs; `tokenizer` stays empty.
  std::int64_t train_vocabulary = 0;
  double valid_fraction = 0.05;  ///< of the documents, in [0, 0.5]; 0: no held-out shard
  /// What parts an input into documents: "file" (one each), "blank-line" (one or more blank lines),
  /// "unindented-line" (a line without indentation after a blank one begins a document, as in
  /// dictionaries), or the text of a line that stands between documents.
  std::string document_separator = "file";
  std::uint64_t seed = 1;  ///< of the split and of the tokenizer's training sample
  bool overwrite = false;  ///< --force: replace what stands in out_directory
  std::int64_t max_document_bytes = std::int64_t{16} << 20;  ///< longer documents are cut
  std::string sentencepiece_executable;                      ///< empty: beside the running program
};

struct PrepareProgress {
  std::string stage;  ///< "training tokenizer", "encoding" or "done"
  std::int64_t read_bytes = 0;
  std::int64_t total_bytes = 0;
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
};

struct SplitSize {
  std::int64_t raw_bytes = 0;
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
};

struct PrepareSummary {
  SplitSize train;
  SplitSize valid;
  std::int64_t vocab_size = 0;
};

/// Text files to token shards. Which documents are held out depends on (seed, document's number)
/// only. Memory is bounded whatever the size of the input. On an error nothing half-written stays.
/// `progress` is called about once per MiB on this thread; it may throw to stop the work.
/// Errors: ConfigError for options and for a split that would be empty; StorageError for files,
/// also for text that the tokenizer cannot take (naming file and byte offset).
PrepareSummary prepare(const PrepareOptions& options,
                       const std::function<void(const PrepareProgress&)>& progress = {});

}  // namespace hetmoe
