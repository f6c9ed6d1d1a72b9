#include "core/data/prepare.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/data/corpus_inputs.h"
#include "core/data/corpus_reader.h"
#include "core/data/encode_workers.h"
#include "core/data/mapped_file.h"
#include "core/data/prepare_folder.h"
#include "core/data/prepare_state.h"
#include "core/data/prepared_tokenizer.h"
#include "core/files/digest.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr int kMostWorkers = 1024;
constexpr std::int64_t kBytesForAWorker = std::int64_t{1} << 20;

using ProgressListener = std::function<void(const PrepareProgress&)>;

void check_range(const char* what, double value, double low, double high, const char* range) {
  if (value >= low && value <= high) return;  // not for NaN
  std::string text = std::to_string(value);
  if (value == std::floor(value)) text.resize(text.find('.'));
  throw ConfigError(std::string(what) + " is " + text + ", must lie in " + range);
}

void check_options(const PrepareOptions& options) {
  if (options.inputs.empty()) throw ConfigError("no input file is given");
  if (options.out_directory.empty()) throw ConfigError("no output folder is given");
  check_range("valid fraction", options.valid_fraction, 0, 0.5, "[0, 0.5]");
  check_range("longest document in bytes", static_cast<double>(options.max_document_bytes), 4,
              1 << 28, "[4, 268435456]");
  check_range("vocabulary to train", static_cast<double>(options.train_vocabulary), 0, 1'000'000,
              "[0, 1000000]");
  check_range("number of workers", options.workers, 0, kMostWorkers, "[0, 1024]");
  check_range("bytes between safe points", static_cast<double>(options.save_every_bytes), 1, 0x1p62,
              "[1, 2^62]");
  if ((options.train_vocabulary > 0) != options.tokenizer.empty()) {
    throw ConfigError(
        "give either a tokenizer (bytes, or the path of a SentencePiece model or tokenizer.json) "
        "or the size of a vocabulary to train");
  }
  if (options.train_vocabulary > 0 && !options.end_of_document.empty()) {
    throw ConfigError("end of document is '" + options.end_of_document +
                      "', allowed with a tokenizer.json only: a vocabulary to train has its own");
  }
}

std::int64_t total_bytes_of(const std::vector<InputFile>& inputs) {
  std::int64_t total_bytes = 0;
  for (const InputFile& input : inputs) total_bytes += input.size_bytes;
  return total_bytes;
}

std::string describe_inputs(const std::vector<InputFile>& inputs) {
  Digest digest;
  for (const InputFile& input : inputs) {
    const std::string line = input.path + '\0' + std::to_string(input.size_bytes) + ' ' +
                             std::to_string(input.modified_ns) + '\n';
    digest.update(std::as_bytes(std::span(line)));
  }
  return std::to_string(inputs.size()) + " files of " + std::to_string(total_bytes_of(inputs)) +
         " bytes (names, sizes and times of change: " + digest.text() + ")";
}

std::string describe_tokenizer(const PrepareOptions& options) {
  if (options.train_vocabulary > 0) return "trained";
  if (options.tokenizer == "bytes") return options.tokenizer;
  return digest_of(MappedFile(tokenizer_file(options.tokenizer)).bytes());
}

PrepareCommand command_of(const PrepareOptions& options, const std::vector<InputFile>& inputs) {
  return {{"inputs", describe_inputs(inputs)},
          {"tokenizer", describe_tokenizer(options)},
          {"end of document", options.end_of_document},
          {"input format", options.input_format},
          {"JSON field", options.json_field},
          {"skip invalid", options.skip_invalid ? "yes" : "no"},
          {"vocabulary to train", std::to_string(options.train_vocabulary)},
          {"valid fraction", std::to_string(options.valid_fraction)},
          {"document separator", options.document_separator},
          {"longest document", std::to_string(options.max_document_bytes)},
          {"seed", std::to_string(options.seed)}};
}

int num_workers_for(const PrepareOptions& options, std::int64_t total_bytes) {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int wanted = options.workers > 0 ? options.workers : std::min(cores, kMostWorkers);
  const std::int64_t useful = total_bytes / kBytesForAWorker + 1;
  return static_cast<int>(std::min<std::int64_t>(wanted, useful));
}

/// One preparation in its folder, from where it stands to the end.
class Preparation {
 public:
  Preparation(const PrepareOptions& options, const ProgressListener& progress);

  PrepareSummary run();

 private:
  void make_tokenizer_file();
  void encode();
  void write(const EncodeBatch& batch);
  void save(PrepareState::Stage stage);
  void check_split();
  void report(const std::string& stage, std::int64_t read_bytes) const;
  PrepareSummary summary() const;

  const PrepareOptions& options_;
  const ProgressListener& progress_;
  CorpusOptions corpus_;
  TokenizerOptions tokenizer_options_;
  std::vector<InputFile> inputs_;
  std::int64_t total_bytes_;
  PrepareFolder folder_;
  SplitOptions split_;
  PrepareState state_;
  bool resumed_ = false;
  std::optional<SplitWriter> writer_;
  std::int64_t unsaved_bytes_ = 0;
};

Preparation::Preparation(const PrepareOptions& options, const ProgressListener& progress)
    : options_(options),
      progress_(progress),
      corpus_{.separator = DocumentSeparator::parse(options.document_separator),
              .json_field = options.json_field,
              .max_document_bytes = options.max_document_bytes,
              .skip_invalid = options.skip_invalid},
      tokenizer_options_{.tokenizer = options.tokenizer,
                         .end_of_document = options.end_of_document,
                         .train_vocabulary = options.train_vocabulary,
                         .seed = options.seed,
                         .sentencepiece_executable = options.sentencepiece_executable},
      inputs_(list_inputs(options.inputs, {.format = options.input_format,
                                           .json_field = options.json_field,
                                           .skip_invalid = options.skip_invalid})),
      total_bytes_(total_bytes_of(inputs_)),
      folder_(options.out_directory),
      split_{.train_prefix = folder_.file("train"),
             .valid_prefix = folder_.file("valid"),
             .valid_fraction = options.valid_fraction,
             .seed = options.seed} {}

PrepareSummary Preparation::run() {
  const PrepareCommand command = command_of(options_, inputs_);
  auto begun = folder_.begin(command, split_, options_.overwrite);
  resumed_ = begun.has_value();
  if (resumed_) {
    state_ = std::move(*begun);
  } else {
    state_.stage = PrepareState::Stage::kTokenizer;
    state_.command = command;
    make_tokenizer_file();
  }
  if (state_.stage != PrepareState::Stage::kSealed) encode();
  folder_.commit(state_);
  report("done", total_bytes_);
  return summary();
}

void Preparation::make_tokenizer_file() {
  if (options_.train_vocabulary == 0) {
    copy_tokenizer(tokenizer_options_, folder_);
    return;
  }
  train_tokenizer(tokenizer_options_, inputs_, corpus_, folder_, [this](std::int64_t read_bytes) {
    const bool is_whole = read_bytes == total_bytes_;
    report(is_whole ? "training tokenizer" : "sampling text", is_whole ? 0 : read_bytes);
  });
}

void Preparation::encode() {
  auto tokenizer = open_tokenizer(tokenizer_options_, folder_);
  const ShardSidecar sidecar = {.tokenizer_name = tokenizer->name(),
                                .vocab_size = tokenizer->vocab_size(),
                                .tokenizer_digest = tokenizer->digest(),
                                .end_of_document = tokenizer->end_of_document()};
  split_.vocab_size = sidecar.vocab_size;
  if (state_.stage == PrepareState::Stage::kEncoding) {
    writer_.emplace(split_, state_.reached);
  } else {
    writer_.emplace(split_);
    state_.vocab_size = sidecar.vocab_size;
    state_.tokenizer_files = folder_.tokenizer_files();
    state_.files_digest = folder_.tokenizer_digest(state_.tokenizer_files);
    // What took long is kept from here on.
    if (options_.train_vocabulary > 0) save(PrepareState::Stage::kTokenizer);
  }
  CorpusReader reader(inputs_, corpus_, state_.position);
  report("encoding", reader.file_bytes());
  EncodeWorkers workers(
      num_workers_for(options_, total_bytes_), std::move(tokenizer),
      [this] { return open_tokenizer(tokenizer_options_, folder_); },
      [this](EncodeBatch& batch, Tokenizer& own) { encode_batch(inputs_, corpus_, own, batch); });
  std::exception_ptr failure;
  for (bool more = true; more || !workers.is_empty();) {
    while (more && workers.has_room()) {
      EncodeBatch batch;
      try {
        more = read_batch(reader, batch);
        if (!batch.records.empty()) workers.submit(std::move(batch));
      } catch (...) {
        failure = std::current_exception();  // what stands before it comes first
        more = false;
      }
    }
    if (!workers.is_empty()) write(workers.take());
  }
  if (failure) std::rethrow_exception(failure);
  state_.position = reader.position();
  check_split();
  writer_->seal(sidecar);
  writer_.reset();
  save(PrepareState::Stage::kSealed);
}

void Preparation::write(const EncodeBatch& batch) {
  for (const EncodedDocument& document : batch.documents) writer_->append(document);
  state_.reached = writer_->reached();
  state_.position = batch.end;
  state_.skipped_lines += batch.skipped_lines;
  unsaved_bytes_ += batch.record_bytes;
  if (unsaved_bytes_ >= options_.save_every_bytes) {
    writer_->save();
    save(PrepareState::Stage::kEncoding);
    unsaved_bytes_ = 0;
  }
  report("encoding", batch.file_bytes);
}

void Preparation::save(PrepareState::Stage stage) {
  state_.stage = stage;
  folder_.save(state_);
}

void Preparation::check_split() {
  const bool has_text = std::any_of(inputs_.begin(), inputs_.end(), [](const InputFile& input) {
    return input.format == InputFormat::kText;
  });
  std::string fault;
  if (has_text && options_.document_separator != "file" && state_.position.separators == 0) {
    fault = "document separator '" + options_.document_separator +
            "' does not occur in the input; must be file, blank-line, unindented-line or a line "
            "that stands between documents";
  } else if (const bool none_to_train = state_.reached.train.documents == 0;
             none_to_train ||
             (options_.valid_fraction > 0 && state_.reached.valid.documents == 0)) {
    fault = "the split of " + std::to_string(state_.reached.documents) + " documents leaves none " +
            (none_to_train ? "to train on" : "held out") +
            "; needs more documents, another document separator, valid fraction or seed";
  }
  if (fault.empty()) return;
  folder_.discard();  // other options are needed, which could not go on from here
  throw ConfigError(fault);
}

void Preparation::report(const std::string& stage, std::int64_t read_bytes) const {
  if (!progress_) return;
  progress_({.stage = stage,
             .resumed = resumed_,
             .read_bytes = read_bytes,
             .total_bytes = total_bytes_,
             .documents = state_.reached.train.documents + state_.reached.valid.documents,
             .tokens = state_.reached.train.tokens + state_.reached.valid.tokens});
}

PrepareSummary Preparation::summary() const {
  return {.train = state_.reached.train,
          .valid = state_.reached.valid,
          .vocab_size = state_.vocab_size,
          .skipped_lines = state_.skipped_lines};
}

}  // namespace

PrepareSummary prepare(const PrepareOptions& options,
                       const std::function<void(const PrepareProgress&)>& progress) {
  check_options(options);
  return Preparation(options, progress).run();
}

}  // namespace hetmoe
