#include "core/optim/adamw.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/operation.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kElementsPerTask = 1 << 15;
constexpr std::int64_t kBlocksPerRound = 64;  // whose partial sums lie on the stack
constexpr int kLanes = 16;

struct Factors {
  float beta1, beta2, one_minus_beta1, one_minus_beta2;
  float step_size;          ///< lr / (1 - b1^n)
  float inverse_root_bias;  ///< 1 / sqrt(1 - b2^n)
  float epsilon;
  float decay;  ///< lr * weight decay
  float scale;
};

Factors factors_of(const AdamWStep& step, bool decays) {
  const double n = static_cast<double>(step.update);
  return {static_cast<float>(step.beta1),
          static_cast<float>(step.beta2),
          static_cast<float>(1.0 - step.beta1),
          static_cast<float>(1.0 - step.beta2),
          static_cast<float>(step.learning_rate / (1.0 - std::pow(step.beta1, n))),
          static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(step.beta2, n))),
          static_cast<float>(step.epsilon),
          decays ? static_cast<float>(step.learning_rate * step.weight_decay) : 0.0F,
          static_cast<float>(step.gradient_scale)};
}

HETMOE_INLINE float update_element(float p, float g, float& m, float& v, const Factors& f) {
  m = f.beta1 * m + f.one_minus_beta1 * g;
  v = f.beta2 * v + f.one_minus_beta2 * g * g;
  const float denominator = __builtin_sqrtf(v) * f.inverse_root_bias + f.epsilon;
  return p - f.decay * p - f.step_size * m / denominator;
}

HETMOE_VECTORIZED void update_range(float* p, const float* g, float* m, float* v, std::int64_t n,
                                    const Factors& factors) {
  const Factors f = factors;
  for (std::int64_t i = 0; i < n; ++i) p[i] = update_element(p[i], g[i] * f.scale, m[i], v[i], f);
}

HETMOE_VECTORIZED void update_range(float* p, const float* g, float* m, float* v,
                                    c10::BFloat16* copy, std::int64_t n, const Factors& factors) {
  const Factors f = factors;
  for (std::int64_t i = 0; i < n; ++i) {
    p[i] = update_element(p[i], g[i] * f.scale, m[i], v[i], f);
    copy[i] = narrow_to_bfloat16(p[i]);
  }
}

HETMOE_VECTORIZED double squares(const float* values, std::int64_t n) {
  double lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const double value = values[i + j];
      lane[j] += value * value;
    }
  }
  double sum = 0;
  for (int j = 0; j < kLanes; ++j) sum += lane[j];
  for (; i < n; ++i) sum += static_cast<double>(values[i]) * values[i];
  return sum;
}

/// Four arrays read, three written, and the copy.
double update_bytes(std::span<const AdamWPiece> pieces) {
  double bytes = 0;
  for (const AdamWPiece& piece : pieces) {
    bytes += static_cast<double>(piece.count) * (piece.copy != nullptr ? 30 : 28);
  }
  return bytes;
}

}  // namespace

void adamw_update(std::span<const AdamWPiece> pieces, const AdamWStep& step) {
  const Operation operation("adamw", {.bytes = update_bytes(pieces)});
  for (const AdamWPiece& piece : pieces) {
    const Factors factors = factors_of(step, piece.decays);
    at::parallel_for(0, piece.count, kElementsPerTask, [&](std::int64_t begin, std::int64_t end) {
      if (piece.copy != nullptr) {
        update_range(piece.master + begin, piece.gradient + begin, piece.exp_avg + begin,
                     piece.exp_avg_sq + begin, piece.copy + begin, end - begin, factors);
      } else {
        update_range(piece.master + begin, piece.gradient + begin, piece.exp_avg + begin,
                     piece.exp_avg_sq + begin, end - begin, factors);
      }
    });
  }
}

double sum_of_squares(std::span<const float> values) {
  const Operation operation("sum of squares", {.bytes = 4.0 * static_cast<double>(values.size())});
  const auto count = static_cast<std::int64_t>(values.size());
  const std::int64_t blocks = (count + kElementsPerTask - 1) / kElementsPerTask;
  double sum = 0;
  for (std::int64_t round = 0; round < blocks; round += kBlocksPerRound) {
    std::array<double, kBlocksPerRound> partial = {};
    const std::int64_t last = std::min(blocks, round + kBlocksPerRound);
    at::parallel_for(round, last, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        const std::int64_t first = block * kElementsPerTask;
        partial[block - round] =
            squares(values.data() + first, std::min(kElementsPerTask, count - first));
      }
    });
    for (const double value : partial) sum += value;
  }
  return sum;
}

}  // namespace hetmoe
