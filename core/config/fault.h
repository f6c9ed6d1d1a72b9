#pragma once

#include <string>
#include <vector>

namespace hetmoe {

/// One thing wrong with a configuration. The message names value and allowance, not the key:
/// "value -3, allowed: >= 1".
struct ConfigFault {
  std::string key;  ///< full path: train.steps
  std::string message;
  std::vector<std::string> also;  ///< the other keys of a contradiction

  friend bool operator==(const ConfigFault&, const ConfigFault&) = default;
};

}  // namespace hetmoe
