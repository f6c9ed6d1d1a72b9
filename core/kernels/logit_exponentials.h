#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace hetmoe {

/// Exponentials of a tile of logits: `rows` entries of the vocabulary, at most 64, by 64 tokens; an
/// entry's tokens lie next to each other, rows of kLogitTokens.
inline constexpr std::int64_t kLogitRows = 64;
inline constexpr std::int64_t kLogitTokens = 64;

struct LogitTile {
  std::int64_t rows;
  const float* references;  ///< [tokens] what is taken from the logits before
  float* sums;              ///< [tokens] written: over the rows, in fp32 before any rounding
  float* peaks;             ///< [tokens] raised to the largest logits
  /// [rows] of a stride: exp(logit - reference); none: sums alone. Rows begin at multiples of 64
  /// bytes.
  c10::BFloat16* powers;
  std::int64_t stride;
  /// The same in words [kLogitRows / 2][tokens]: two rows that follow one another, the lower one in
  /// the low half, 0 for rows that do not exist.
  std::uint32_t* pairs;
};

/// A logit of -infinity gives 0, NaN a sum that is NaN; what exceeds fp32 a sum that is not finite.
void exponentials_of_logits(const float* logits, const LogitTile& tile);

/// The two that it chooses from; the second where has_avx512_bf16().
void plain_exponentials_of_logits(const float* logits, const LogitTile& tile);
void avx512_exponentials_of_logits(const float* logits, const LogitTile& tile);

}  // namespace hetmoe
