#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <span>

namespace hetmoe {

/// One piece of parameters on its owner: parallel arrays of `count` elements.
struct AdamWPiece {
  float* master = nullptr;
  const float* gradient = nullptr;
  float* exp_avg = nullptr;       ///< first moment
  float* exp_avg_sq = nullptr;    ///< second moment
  c10::BFloat16* copy = nullptr;  ///< compute copy to refresh; null where the master is the copy
  std::int64_t count = 0;
  bool decays = false;
};

struct AdamWStep {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;    ///< decoupled; only pieces that decay
  std::int64_t update = 1;    ///< updates done including this one: bias correction
  double gradient_scale = 1;  ///< clipping, applied while the gradient is read
};

/// One AdamW update, in one pass over memory. Arithmetic in fp32:
///   p -= lr * (m / (1 - b1^n) / (sqrt(v / (1 - b2^n)) + eps) + decay * p).
void adamw_update(std::span<const AdamWPiece> pieces, const AdamWStep& step);

/// Sum of squares in fp64, in a fixed order whatever the number of threads. Non-finite values come
/// out as a non-finite sum.
double sum_of_squares(std::span<const float> values);

}  // namespace hetmoe
