#pragma once

#include <string>
#include <string_view>

#include "core/base/clock.h"

namespace hetmoe {

/// "tiny-20261122-041017-3fa2": the configuration's name, the time in UTC and four random digits,
/// so that names of one second differ but for one case in 65,536.
std::string new_run_name(std::string_view config_name, const Clock& clock);

}  // namespace hetmoe
