#include "launcher/shared_config.h"

#include "core/base/error.h"
#include "parallel/agreement.h"

namespace hetmoe {

RunConfig load_shared_config(Communicator& world, const std::string& source,
                             const std::function<RunConfig()>& load) {
  RunConfig config;
  collectively(world, [&] { config = load(); });
  const std::string resolved = resolved_yaml(config);
  const std::string of_first = broadcast_text(world, resolved, 0);
  collectively(world, [&] {
    if (resolved == of_first) return;
    throw ConfigError(source +
                      ": not the same configuration as on rank 0: all ranks must read one file");
  });
  return config;
}

}  // namespace hetmoe
