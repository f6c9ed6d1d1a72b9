#include "core/kernels/logit_exponentials.h"

#include <algorithm>

#include "core/kernels/processor.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kTokens = kLogitTokens;

HETMOE_VECTORIZED void add_row(const float* logits, const float* references, float* powers,
                               float* sums, float* peaks) {
  for (std::int64_t t = 0; t < kTokens; ++t) {
    peaks[t] = logits[t] > peaks[t] ? logits[t] : peaks[t];
    powers[t] = fast_exp(logits[t] - references[t]);
    sums[t] += powers[t];
  }
}

HETMOE_VECTORIZED void store_row(const float* powers, std::uint16_t* row, std::uint16_t* pairs) {
  for (std::int64_t t = 0; t < kTokens; ++t) {
    row[t] = narrow_to_bfloat16(powers[t]).x;
    pairs[2 * t] = row[t];
  }
}

}  // namespace

void plain_exponentials_of_logits(const float* logits, const LogitTile& tile) {
  std::fill_n(tile.sums, kTokens, 0.0F);
  if (tile.powers != nullptr) std::fill_n(tile.pairs, kLogitRows / 2 * kTokens, 0U);
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    float powers[kTokens];
    add_row(logits + i * kTokens, tile.references, powers, tile.sums, tile.peaks);
    if (tile.powers == nullptr) continue;
    auto* pairs = reinterpret_cast<std::uint16_t*>(tile.pairs + i / 2 * kTokens);
    store_row(powers, reinterpret_cast<std::uint16_t*>(tile.powers + i * tile.stride),
              pairs + i % 2);
  }
}

void exponentials_of_logits(const float* logits, const LogitTile& tile) {
  static const bool fast = has_avx512_bf16();
  (fast ? avx512_exponentials_of_logits : plain_exponentials_of_logits)(logits, tile);
}

}  // namespace hetmoe
