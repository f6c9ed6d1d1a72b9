#pragma once

#include <string>
#include <vector>

#include "core/config/field.h"

namespace hetmoe {

/// All fields as a YAML document that reads back to the same values.
std::string yaml_document(const std::vector<Field>& fields);

/// The reference: every key with its value (pass defaults), type, unit, range and meaning.
std::string reference_text(const std::vector<Field>& fields);

}  // namespace hetmoe
