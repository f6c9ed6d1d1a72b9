#include "launcher/data_command.h"

#include <iostream>

#include "core/data/inspect.h"

namespace hetmoe {

int run_data_inspect_command(const std::string& prefix, bool json) {
  std::string text = inspect_shard(prefix, json);
  if (!text.ends_with('\n')) text += '\n';
  std::cout << text;
  return 0;
}

}  // namespace hetmoe
