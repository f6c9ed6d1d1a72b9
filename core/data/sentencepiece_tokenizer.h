#pragma once

#include "core/data/child_tokenizer.h"

namespace hetmoe {

/// Any SentencePiece model, through a child process: SentencePiece and Protobuf cannot share ours.
/// Models that decode what they encode, byte for byte (ours do, see `train`), take any bytes;
/// others take UTF-8 only and normalise it their way.
/// Errors: those of ChildTokenizer; StorageError for a model without an end-of-sentence piece.
class SentencePieceTokenizer final : public ChildTokenizer {
 public:
  /// `executable` empty: hetmoe-sentencepiece beside the running program.
  explicit SentencePieceTokenizer(const std::string& model_path,
                                  const std::string& executable = "");

  std::string name() const override { return "sentencepiece"; }
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
