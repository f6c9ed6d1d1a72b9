#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/data/corpus_inputs.h"
#include "core/data/corpus_reader.h"
#include "core/data/prepare_folder.h"
#include "core/data/tokenizer.h"

namespace hetmoe {

struct TokenizerOptions {
  std::string tokenizer;        ///< "bytes" or a path; empty: one is trained
  std::string end_of_document;  ///< of a tokenizer.json, in place of its own
  std::int64_t train_vocabulary = 0;
  std::uint64_t seed = 1;  ///< of the sample that it is trained on
  std::string sentencepiece_executable;
};

/// Called with the bytes of the input files that were read so far.
using ReadListener = std::function<void(std::int64_t)>;

/// Trains a vocabulary on a sample of the documents and puts it into the folder, synced.
/// `read` is called about once per MiB, and once when the whole sample is taken. Blocking.
/// Errors: those of the inputs; StorageError with the trainer's message.
void train_tokenizer(const TokenizerOptions& options, const std::vector<InputFile>& inputs,
                     const CorpusOptions& corpus, const PrepareFolder& folder,
                     const ReadListener& read);

/// Puts a copy of the given tokenizer's files into the folder, synced; nothing for "bytes".
/// Errors: those of put_tokenizer_files.
void copy_tokenizer(const TokenizerOptions& options, const PrepareFolder& folder);

/// Another process or object for each worker: what the folder holds, or bytes.
std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerOptions& options,
                                          const PrepareFolder& folder);

}  // namespace hetmoe
