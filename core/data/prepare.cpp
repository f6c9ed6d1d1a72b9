#include "core/data/prepare.h"

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/data/document_reader.h"
#include "core/data/sentencepiece_tokenizer.h"
#include "core/data/token_shard_writer.h"
#include "core/data/tokenizer.h"
#include "core/data/utf8.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBatchBytes = std::size_t{1} << 20;
constexpr std::array kOutputs = {"train.idx", "train.bin",  "train.json",     "valid.idx",
                                 "valid.bin", "valid.json", "tokenizer.model"};

void check_options(const PrepareOptions& options) {
  if (options.inputs.empty()) throw ConfigError("no input file is given");
  if (options.out_directory.empty()) throw ConfigError("no output folder is given");
  if (!(options.valid_fraction >= 0 && options.valid_fraction <= 0.5)) {
    throw ConfigError("valid fraction is " + std::to_string(options.valid_fraction) +
                      ", must lie in [0, 0.5]");
  }
  if (options.max_document_bytes < 4 || options.max_document_bytes > (std::int64_t{1} << 28)) {
    throw ConfigError("longest document is " + std::to_string(options.max_document_bytes) +
                      " bytes, must lie in [4, 268435456]");
  }
  if (options.train_vocabulary < 0 || options.train_vocabulary > 1'000'000) {
    throw ConfigError("vocabulary to train is " + std::to_string(options.train_vocabulary) +
                      ", must lie in [0, 1000000]");
  }
  if ((options.train_vocabulary > 0) != options.tokenizer.empty()) {
    throw ConfigError(
        "give either a tokenizer (bytes, or the path of a SentencePiece model) or the size of a "
        "vocabulary to train");
  }
}

std::int64_t total_bytes_of(const std::vector<std::string>& inputs) {
  std::int64_t total_bytes = 0;
  for (const std::string& input : inputs) {
    std::error_code error;
    if (fs::is_directory(input)) throw StorageError("'" + input + "' is a folder, expected a file");
    total_bytes += static_cast<std::int64_t>(fs::file_size(input, error));
    if (error) throw StorageError("cannot read '" + input + "': " + error.message());
  }
  return total_bytes;
}

/// A folder that goes away again, if it was made here and nothing has been put into it.
class OutputFolder {
 public:
  OutputFolder(const std::string& path, bool overwrite) : path_(path) {
    for (const char* name : kOutputs) {
      if (!overwrite && fs::exists(path_ / name)) {
        throw ConfigError("'" + (path_ / name).string() + "' exists; --force replaces it");
      }
    }
    std::error_code error;
    made_ = fs::create_directories(path_, error);
    if (error) throw StorageError("cannot make folder '" + path + "': " + error.message());
  }
  ~OutputFolder() {
    std::error_code ignored;  // not empty: somebody's files, or our result
    if (made_) fs::remove(path_, ignored);
  }
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
  bool made_ = false;
};

/// tokenizer.model of the output folder, under a name of its own until commit().
class PreparedModel {
 public:
  PreparedModel(const PrepareOptions& options, const OutputFolder& folder)
      : final_(folder.file("tokenizer.model")), partial_(folder.file("tokenizer.partial.model")) {
    if (options.train_vocabulary > 0) {
      train(options, folder.file("tokenizer.partial"));
      held_ = true;
    } else if (options.tokenizer != "bytes") {
      std::error_code error;
      held_ =
          fs::copy_file(options.tokenizer, partial_, fs::copy_options::overwrite_existing, error);
      if (error) {
        throw ConfigError("tokenizer is '" + options.tokenizer +
                          "', must be 'bytes' or the path of a SentencePiece model (" +
                          error.message() + ")");
      }
    }
  }
  ~PreparedModel() {
    std::error_code ignored;
    fs::remove(partial_, ignored);
  }
  PreparedModel(const PreparedModel&) = delete;
  PreparedModel& operator=(const PreparedModel&) = delete;

  std::string tokenizer() const { return held_ ? partial_ : "bytes"; }
  void commit() { held_ ? fs::rename(partial_, final_) : void(fs::remove(final_)); }

 private:
  void train(const PrepareOptions& options, const std::string& prefix) const {
    try {
      train_sentencepiece({.inputs = options.inputs,
                           .vocab_size = options.train_vocabulary,
                           .out_prefix = prefix,
                           .seed = options.seed},
                          options.sentencepiece_executable);
    } catch (...) {
      std::error_code ignored;
      fs::remove(partial_, ignored);
      throw;
    }
  }

  std::string final_;
  std::string partial_;
  bool held_ = false;
};

/// Documents on their way to one of two shards.
class Preparation {
 public:
  Preparation(const PrepareOptions& options, Tokenizer& tokenizer, const OutputFolder& folder,
              std::int64_t total_bytes, const std::function<void(const PrepareProgress&)>& progress)
      : options_(options),
        tokenizer_(tokenizer),
        progress_(progress),
        reached_{.stage = "encoding", .total_bytes = total_bytes},
        split_(options.seed, "held-out split"),
        train_(folder.file("train"), tokenizer.vocab_size()) {
    if (options.valid_fraction > 0) valid_.emplace(folder.file("valid"), tokenizer.vocab_size());
  }

  void add_file(const std::string& path, const DocumentSeparator& separator) {
    DocumentReader reader(path, separator, options_.max_document_bytes);
    Document document;
    while (reader.next(document)) {
      check_text(path, document);
      if (!document.continues) ++num_documents_;
      batch_bytes_ += document.text.size();
      held_out_.push_back(is_held_out());
      texts_.push_back(std::move(document.text));
      if (batch_bytes_ >= kBatchBytes) encode_batch(reader.read_bytes());
    }
    encode_batch(reader.read_bytes());
    finished_files_bytes_ += reader.read_bytes();
    num_separators_ += reader.num_separators();
  }

  PrepareSummary finish(PreparedModel& model, const OutputFolder& folder);

 private:
  bool is_held_out() const {
    return split_.uniform(static_cast<std::uint64_t>(num_documents_ - 1), 0) <
           options_.valid_fraction;
  }

  void check_text(const std::string& path, const Document& document) const {
    if (tokenizer_.keeps_every_byte()) return;
    const std::size_t bad = first_invalid_utf8(document.text);
    if (bad == document.text.size()) return;
    throw StorageError(path + ": at byte " +
                       std::to_string(document.begin_bytes + static_cast<std::int64_t>(bad)) +
                       ": not UTF-8, which this SentencePiece model needs");
  }

  void encode_batch(std::int64_t read_bytes);
  void check_split() const;
  ShardSidecar sidecar(const SplitSize& size) const;

  const PrepareOptions& options_;
  Tokenizer& tokenizer_;
  const std::function<void(const PrepareProgress&)>& progress_;
  PrepareProgress reached_;
  CounterRandom split_;
  TokenShardWriter train_;
  std::optional<TokenShardWriter> valid_;
  PrepareSummary summary_;
  std::vector<std::string> texts_;
  std::vector<bool> held_out_;
  std::vector<std::vector<std::int32_t>> tokens_;
  std::size_t batch_bytes_ = 0;
  std::int64_t num_documents_ = 0;
  std::int64_t num_separators_ = 0;
  std::int64_t finished_files_bytes_ = 0;
};

void Preparation::encode_batch(std::int64_t read_bytes) {
  const std::vector<std::string_view> views(texts_.begin(), texts_.end());
  if (!views.empty()) tokenizer_.encode(views, tokens_);
  for (std::size_t i = 0; i < views.size(); ++i) {
    tokens_[i].push_back(tokenizer_.end_of_document());
    (held_out_[i] ? *valid_ : train_).append_document(tokens_[i]);
    SplitSize& size = held_out_[i] ? summary_.valid : summary_.train;
    size.raw_bytes += static_cast<std::int64_t>(texts_[i].size());
    size.documents += 1;
    size.tokens += static_cast<std::int64_t>(tokens_[i].size());
  }
  texts_.clear();
  held_out_.clear();
  batch_bytes_ = 0;
  reached_.read_bytes = finished_files_bytes_ + read_bytes;
  reached_.documents = summary_.train.documents + summary_.valid.documents;
  reached_.tokens = summary_.train.tokens + summary_.valid.tokens;
  if (progress_) progress_(reached_);
}

void Preparation::check_split() const {
  if (options_.document_separator != "file" && num_separators_ == 0) {
    throw ConfigError("document separator '" + options_.document_separator +
                      "' does not occur in the input; must be file, blank-line, unindented-line or "
                      "a line that stands between documents");
  }
  const bool empty_valid = valid_ && summary_.valid.documents == 0;
  if (summary_.train.documents > 0 && !empty_valid) return;
  throw ConfigError("the split of " + std::to_string(num_documents_) + " documents leaves none " +
                    (summary_.train.documents == 0 ? "to train on" : "held out") +
                    "; needs more documents, another document separator, valid fraction or seed");
}

ShardSidecar Preparation::sidecar(const SplitSize& size) const {
  return {.tokenizer_name = tokenizer_.name(),
          .vocab_size = tokenizer_.vocab_size(),
          .tokenizer_digest = tokenizer_.digest(),
          .end_of_document = tokenizer_.end_of_document(),
          .raw_bytes = size.raw_bytes};
}

PrepareSummary Preparation::finish(PreparedModel& model, const OutputFolder& folder) {
  check_split();
  // Old indices go first: no shard of before may meet the tokenizer of now.
  fs::remove(folder.file("train.idx"));
  for (const char* name : {"valid.idx", "valid.bin", "valid.json"}) fs::remove(folder.file(name));
  model.commit();
  train_.finish(sidecar(summary_.train));
  if (valid_) valid_->finish(sidecar(summary_.valid));
  summary_.vocab_size = tokenizer_.vocab_size();
  reached_.stage = "done";
  if (progress_) progress_(reached_);
  return summary_;
}

}  // namespace

PrepareSummary prepare(const PrepareOptions& options,
                       const std::function<void(const PrepareProgress&)>& progress) {
  check_options(options);
  const DocumentSeparator separator = DocumentSeparator::parse(options.document_separator);
  const std::int64_t total_bytes = total_bytes_of(options.inputs);
  const OutputFolder folder(options.out_directory, options.overwrite);
  if (progress && options.train_vocabulary > 0) {
    progress({.stage = "training tokenizer", .total_bytes = total_bytes});
  }
  PreparedModel model(options, folder);
  const auto tokenizer = make_tokenizer(model.tokenizer(), options.sentencepiece_executable);
  Preparation preparation(options, *tokenizer, folder, total_bytes, progress);
  for (const std::string& input : options.inputs) preparation.add_file(input, separator);
  return preparation.finish(model, folder);
}

}  // namespace hetmoe
