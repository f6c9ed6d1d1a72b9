#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/random.h"

namespace hetmoe {

/// From which tokens the next one is drawn, and how.
struct Sampling {
  double temperature = 1;  ///< 0: the likeliest token, whatever the rest says
  std::int64_t top_k = 0;  ///< only so many of the likeliest; 0: all
  double top_p = 1;  ///< of those only the fewest that together reach this probability; 1: all
};

/// Chances of the tokens, not normalised, 0 for those left out: softmax(logits / temperature), of
/// which top_k leaves tokens less likely than the k-th (as likely ones stay), and then top_p those
/// that come after its share is reached, the likeliest first, of equal ones the lower id; at least
/// one stays. temperature > 0. A pure function.
/// Errors: Error (non-finite) for a logit that is not finite.
std::vector<double> token_chances(std::span<const float> logits, const Sampling& sampling);

/// A token drawn with these chances by the random number of `position`; at temperature 0 the
/// largest logit, of equal ones the lowest id. A pure function. Errors: as token_chances.
std::int32_t sample_token(std::span<const float> logits, const Sampling& sampling,
                          const CounterRandom& random, std::uint64_t position);

}  // namespace hetmoe
