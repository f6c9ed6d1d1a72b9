#pragma once

#include <string>

namespace hetmoe {

/// Name of this machine as it calls itself, at most 255 bytes; empty where it does not say.
std::string host_name();

}  // namespace hetmoe
