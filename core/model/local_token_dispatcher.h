#pragma once

#include <memory>

#include "core/model/token_dispatcher.h"

namespace hetmoe {

/// One rank that holds every expert: nothing moves and nothing is copied.
std::unique_ptr<TokenDispatcher> make_local_token_dispatcher();

}  // namespace hetmoe
