#pragma once

#include <memory>
#include <vector>

#include "core/model/slice.h"
#include "core/model/token_dispatcher.h"

namespace hetmoe {

/// One rank that holds every expert: nothing moves and no row is copied. `slices`: all that the
/// rank holds, sorted; the experts may be cut.
std::unique_ptr<TokenDispatcher> make_local_token_dispatcher(const std::vector<Slice>& slices);

}  // namespace hetmoe
