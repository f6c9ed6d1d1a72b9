#include "core/data/prepared_tokenizer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/base/error.h"
#include "core/data/line_sample.h"
#include "core/data/sentencepiece_tokenizer.h"
#include "core/data/tokenizer_files.h"
#include "core/files/atomic_file.h"
#include "core/files/file_descriptor.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSampleBytes = std::int64_t{4} << 20;
constexpr std::int64_t kReportBytes = std::int64_t{1} << 20;

void sync_file(const fs::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open() || ::fsync(file.get()) != 0) {
    throw StorageError("cannot sync '" + path.string() + "': " + std::strerror(errno));
  }
}

void make_folder_of_tokenizer(const PrepareFolder& folder) {
  std::error_code error;
  fs::create_directory(folder.partial_tokenizer(), error);
  if (error) {
    throw StorageError("cannot make folder '" + folder.partial_tokenizer() +
                       "': " + error.message());
  }
}

std::string sample_of(const TokenizerOptions& options, const std::vector<InputFile>& inputs,
                      const CorpusOptions& corpus, const ReadListener& read) {
  LineSample sample(options.seed, kSampleBytes);
  CorpusReader reader(inputs, corpus);
  std::int64_t reported_bytes = 0;
  std::vector<Piece> pieces;
  for (Record record; reader.next(record);) {
    pieces.clear();
    const InputFile& input = inputs[record.input];
    append_pieces(std::move(record), input, corpus, pieces);
    for (const Piece& piece : pieces) sample.add(piece.text);
    if (reader.file_bytes() - reported_bytes < kReportBytes) continue;
    reported_bytes = reader.file_bytes();
    read(reported_bytes);
  }
  read(reader.file_bytes());
  return sample.text();
}

}  // namespace

void train_tokenizer(const TokenizerOptions& options, const std::vector<InputFile>& inputs,
                     const CorpusOptions& corpus, const PrepareFolder& folder,
                     const ReadListener& read) {
  const std::string sample = folder.file("tokenizer.training.txt");
  write_file_atomically(sample, sample_of(options, inputs, corpus, read));
  make_folder_of_tokenizer(folder);
  const fs::path model = fs::path(folder.partial_tokenizer()) / "tokenizer.model";
  train_sentencepiece({.inputs = {sample},
                       .vocab_size = options.train_vocabulary,
                       .out_prefix = fs::path(model).replace_extension("").string(),
                       .seed = options.seed},
                      options.sentencepiece_executable);
  fs::remove(sample);
  sync_file(model);
}

void copy_tokenizer(const TokenizerOptions& options, const PrepareFolder& folder) {
  const bool has_files = options.tokenizer != "bytes";
  if (has_files) make_folder_of_tokenizer(folder);
  put_tokenizer_files(options.tokenizer, options.end_of_document, folder.partial_tokenizer());
  if (!has_files) return;
  for (const auto& file : fs::directory_iterator(folder.partial_tokenizer())) sync_file(file);
}

std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerOptions& options,
                                          const PrepareFolder& folder) {
  return make_tokenizer(options.tokenizer == "bytes" ? "bytes" : folder.partial_tokenizer(),
                        options.sentencepiece_executable);
}

}  // namespace hetmoe
