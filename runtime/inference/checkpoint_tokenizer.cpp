#include "runtime/inference/checkpoint_tokenizer.h"

#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/inference/checkpoint_config.h"
#include "runtime/inference/run_tokenizer.h"

namespace hetmoe {

std::unique_ptr<Tokenizer> tokenizer_of_checkpoint(const std::string& path,
                                                   const std::vector<std::string>& settings,
                                                   const std::string& given) {
  const CheckpointReader checkpoint(resolve_checkpoint(path));
  return tokenizer_of_run(
      config_of_checkpoint(checkpoint.manifest().state.config, checkpoint.path(), settings), given);
}

}  // namespace hetmoe
