#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace hetmoe {

/// "xxh3-128:" and 32 hex digits (canonical, big-endian form). Tells contents apart; no protection
/// against forgery.
std::string digest_of(std::span<const std::byte> bytes);

}  // namespace hetmoe
