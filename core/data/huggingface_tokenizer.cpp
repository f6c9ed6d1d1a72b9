#include "core/data/huggingface_tokenizer.h"

#include "core/base/error.h"
#include "core/data/child_process.h"

namespace hetmoe {
namespace {

std::string executable_or_default(const std::string& executable) {
  return executable.empty() ? beside_running_program("hetmoe-huggingface-tokenizer") : executable;
}

}  // namespace

HuggingFaceTokenizer::HuggingFaceTokenizer(const std::string& json_path,
                                           const std::string& executable)
    : ChildTokenizer(json_path, executable_or_default(executable)) {
  if (end_of_document() < 0) throw StorageError(json_path + ": has no token that ends documents");
}

}  // namespace hetmoe
