#include "core/data/sentencepiece_tokenizer.h"

#include "core/base/error.h"
#include "core/data/child_process.h"

namespace hetmoe {
namespace {

std::string executable_or_default(const std::string& executable) {
  return executable.empty() ? beside_running_program("hetmoe-sentencepiece") : executable;
}

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(const std::string& model_path,
                                               const std::string& executable)
    : ChildTokenizer(model_path, executable_or_default(executable)) {
  if (end_of_document() < 0) {
    throw StorageError(model_path + ": has no end-of-sentence piece, which must end documents");
  }
}

void train_sentencepiece(const SentencePieceTraining& training, const std::string& executable) {
  std::vector<std::string> arguments = {"train",
                                        "--vocab-size",
                                        std::to_string(training.vocab_size),
                                        "--seed",
                                        std::to_string(training.seed),
                                        "--out",
                                        training.out_prefix,
                                        "--"};
  arguments.insert(arguments.end(), training.inputs.begin(), training.inputs.end());
  ChildProcess(executable_or_default(executable), arguments).finish();
}

}  // namespace hetmoe
