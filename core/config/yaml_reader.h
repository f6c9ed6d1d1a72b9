#pragma once

#include <string>

#include "core/config/tree.h"

namespace hetmoe {

/// Reads one YAML document into a tree. Aliases, tags, keys that are not plain words, more than
/// 10,000 values or 16 levels are refused, so the cost is linear in the text. An empty document is
/// an empty section.
/// Errors: ConfigError "source:line: ..." at the first thing that is not YAML as above.
ConfigNode parse_yaml(const std::string& text, const std::string& source);

/// The same from a file of at most 1 MiB.
ConfigNode read_yaml_file(const std::string& path);

/// The value of "--set key=value": a list or a quoted text is read as YAML, all else is the text as
/// it stands, so that paths need no quotes. Errors: ConfigError without a place.
ConfigNode parse_setting_value(const std::string& value);

}  // namespace hetmoe
