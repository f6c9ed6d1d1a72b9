#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/config/field.h"
#include "core/config/tree.h"

namespace hetmoe {

/// Shortest text that reads back to the same number; whole numbers without a point.
std::string number_text(double value);

/// A value as an error message shows it: one line, at most 60 characters, "" when empty.
std::string printable(std::string_view value);

/// What a node holds, for messages: its text, or "a list", "a section", "nothing".
std::string describe_node(const ConfigNode& node);

/// Stores a node's value in a field.
/// Gives nothing on success, else what the type wants ("an integer"); the field is then unchanged.
std::optional<std::string> assign(const FieldReference& field, const ConfigNode& node);

/// The value of a field as YAML.
std::string yaml_text(const FieldReference& field);

/// "integer", "number", "text", "true or false", "list of integers", "list of numbers", "list
/// of texts", or the words of an enumeration.
std::string type_text(const FieldReference& field);

}  // namespace hetmoe
