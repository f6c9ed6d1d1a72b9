#pragma once

#include <cstdint>
#include <span>

#include "core/base/random.h"

namespace hetmoe {

/// A token drawn from softmax(logits / temperature) by the random number of `position`; temperature
/// 0: the largest logit, of equal ones the lowest id. A pure function.
/// Errors: Error (non-finite) for a logit that is not finite.
std::int32_t sample_token(std::span<const float> logits, double temperature,
                          const CounterRandom& random, std::uint64_t position);

}  // namespace hetmoe
