#include "runtime/inference/checkpoint_config.h"

#include "core/base/error.h"

namespace hetmoe {
namespace {

void require_parallel(const std::string& setting) {
  if (setting.starts_with("parallel.") || setting.starts_with("train.precision=")) return;
  throw ConfigError("--set " + setting +
                    ": allowed: keys of parallel and train.precision (all else is as the "
                    "checkpoint has it)");
}

}  // namespace

RunConfig config_of_checkpoint(const std::string& yaml, const std::filesystem::path& checkpoint,
                               const std::vector<std::string>& settings) {
  const std::string source = checkpoint.string() + " (its configuration)";
  try {
    parse_run_config(yaml, source, {});
  } catch (const ConfigError& error) {
    throw StorageError(error.what());  // nobody typed it
  }
  std::vector<std::string> all = {"parallel.expert_group_size=0"};
  for (const std::string& setting : settings) {
    require_parallel(setting);
    all.push_back(setting);
  }
  return parse_run_config(yaml, source, all);
}

}  // namespace hetmoe
