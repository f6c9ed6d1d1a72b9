#pragma once

#include <memory>
#include <string>
#include <vector>

namespace hetmoe {

/// Where a value was written: a line of a file, or a setting of the command line.
struct ConfigOrigin {
  std::shared_ptr<const std::string> source;
  int line = 0;  ///< from 1; 0: not a file with lines

  /// "configs/x.yaml:12", "--set train.steps=-3".
  std::string text() const {
    if (!source) return "";
    return line == 0 ? *source : *source + ":" + std::to_string(line);
  }
};

/// A configuration as written, before it means anything. Small and free of the YAML library.
struct ConfigNode {
  enum class Kind { kNothing, kText, kList, kSection };

  Kind kind = Kind::kNothing;
  std::string key;   ///< of this node in the section around it
  std::string text;  ///< kText
  bool quoted = false;
  std::vector<ConfigNode> children;  ///< of a list or a section, in the order written
  ConfigOrigin origin;               ///< of the key where there is one
};

}  // namespace hetmoe
