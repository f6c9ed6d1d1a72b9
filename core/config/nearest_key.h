#pragma once

#include <string>
#include <vector>

#include "core/config/field.h"

namespace hetmoe {

/// What to say after "unknown key": ", nearest: train.steps", or the keys of the section it stands
/// in. A key that exists under that name in another section is the nearest.
std::string known_keys_hint(const std::string& unknown_key, const std::vector<Field>& fields);

}  // namespace hetmoe
