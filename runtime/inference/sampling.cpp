#include "runtime/inference/sampling.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {

std::int32_t sample_token(std::span<const float> logits, double temperature,
                          const CounterRandom& random, std::uint64_t position) {
  HETMOE_CHECK(!logits.empty() && temperature >= 0, logits.size(), " logits, temperature ",
               temperature);
  const auto bad = std::ranges::find_if(logits, [](float logit) { return !std::isfinite(logit); });
  if (bad != logits.end()) {
    throw Error(ExitCode::kNonFinite, "the logit of token " + std::to_string(bad - logits.begin()) +
                                          " is not finite: the model has diverged");
  }
  const auto largest = std::ranges::max_element(logits);
  if (temperature == 0) return static_cast<std::int32_t>(largest - logits.begin());
  // The largest has weight 1 whatever the temperature, so that the sum is never 0.
  std::vector<double> upper(logits.size());
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    sum += std::exp((static_cast<double>(logits[i]) - *largest) / temperature);
    upper[i] = sum;
  }
  const auto drawn = std::ranges::upper_bound(upper, random.uniform(position, 0) * sum);
  // A product just below the sum may be rounded up to it.
  return static_cast<std::int32_t>(drawn == upper.end() ? largest - logits.begin()
                                                        : drawn - upper.begin());
}

}  // namespace hetmoe
