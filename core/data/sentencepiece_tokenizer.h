#pragma once

#include <memory>

#include "core/data/tokenizer.h"

namespace hetmoe {

class ChildProcess;

/// Any SentencePiece model, through a child process: SentencePiece and Protobuf cannot share ours.
/// Starts a process (posix_spawn): not after MPI_Init. The child ends with this object.
/// Models that decode what they encode, byte for byte (ours do, see `train`), take any bytes;
/// others take UTF-8 only and normalise it their way. Errors: StorageError with the child's own
/// message, also when it dies.
class SentencePieceTokenizer final : public Tokenizer {
 public:
  /// `executable` empty: hetmoe-sentencepiece beside the running program.
  explicit SentencePieceTokenizer(const std::string& model_path,
                                  const std::string& executable = "");
  ~SentencePieceTokenizer() override;

  using Tokenizer::encode;
  std::string name() const override { return "sentencepiece"; }
  std::int64_t vocab_size() const override { return vocab_size_; }
  std::string digest() const override { return digest_; }
  std::int32_t end_of_document() const override { return end_of_document_; }
  bool keeps_every_byte() const override { return keeps_every_byte_; }
  void encode(std::span<const std::string_view> texts,
              std::vector<std::vector<std::int32_t>>& out) override;
  std::string decode(std::span<const std::int32_t> tokens) override;

 private:
  std::string exchange(const std::string& request);

  std::string model_path_;
  std::string digest_;
  std::unique_ptr<ChildProcess> child_;
  std::int64_t vocab_size_ = 0;
  std::int32_t end_of_document_ = -1;
  bool keeps_every_byte_ = false;
};

struct SentencePieceTraining {
  std::vector<std::string> inputs;
  std::int64_t vocab_size = 0;
  std::string out_prefix;  ///< gives out_prefix.model
  std::uint64_t seed = 1;
};

/// Trains a model on a bounded sample of the inputs' lines, in the child; deterministic. Blocking.
/// Errors: StorageError with the trainer's message (a vocabulary too large for the text, say).
void train_sentencepiece(const SentencePieceTraining& training, const std::string& executable = "");

}  // namespace hetmoe
