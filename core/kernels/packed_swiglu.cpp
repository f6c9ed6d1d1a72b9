#include "core/kernels/packed_swiglu.h"

#include <algorithm>

#include "core/kernels/processor.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kTokens = kSwigluTokens;

// What stands for the second unit of a pair that has none.
alignas(64) constexpr BFloat16 kNoUnit[kTokens] = {};

HETMOE_INLINE std::uint32_t pair_of(BFloat16 low, BFloat16 high) {
  return static_cast<std::uint32_t>(low.x) | static_cast<std::uint32_t>(high.x) << 16;
}

HETMOE_INLINE void forward_unit(const float* __restrict g, const float* __restrict u,
                                const float* __restrict gates, BFloat16* __restrict saved_gate,
                                BFloat16* __restrict saved_up, BFloat16* __restrict hidden,
                                std::int64_t tokens) {
  for (std::int64_t t = 0; t < tokens; ++t) {
    saved_gate[t] = narrow_to_bfloat16(g[t]);
    saved_up[t] = narrow_to_bfloat16(u[t]);
    hidden[t] = narrow_to_bfloat16(gates[t] * g[t] * sigmoid(g[t]) * u[t]);
  }
}

HETMOE_INLINE void backward_unit(const float* __restrict z, const float* __restrict gates,
                                 const BFloat16* __restrict saved_gate,
                                 const BFloat16* __restrict saved_up, BFloat16* __restrict hidden,
                                 BFloat16* __restrict gate, BFloat16* __restrict up,
                                 float* __restrict token_sums, std::int64_t tokens) {
  for (std::int64_t t = 0; t < tokens; ++t) {
    const float x = widen(saved_gate[t]);
    const float y = widen(saved_up[t]);
    const float s = sigmoid(x);
    const float silu = x * s;
    const float a = silu * y;
    const float da = gates[t] * z[t];
    token_sums[t] += a * z[t];
    hidden[t] = narrow_to_bfloat16(gates[t] * a);
    up[t] = narrow_to_bfloat16(da * silu);
    gate[t] = narrow_to_bfloat16(da * y * s * (1.0F + x * (1.0F - s)));
  }
}

HETMOE_INLINE void pair_units(const BFloat16* __restrict first, const BFloat16* __restrict second,
                              std::uint32_t* __restrict pairs, std::int64_t tokens) {
  for (std::int64_t t = 0; t < tokens; ++t) pairs[t] = pair_of(first[t], second[t]);
}

void no_pairs(std::int64_t units, std::uint32_t* pairs) {
  std::fill(pairs + (units + 1) / 2 * kTokens, pairs + kSwigluUnits / 2 * kTokens, 0U);
}

}  // namespace

HETMOE_VECTORIZED void plain_swiglu_forward(const float* g, const float* u, const SwigluTile& tile,
                                            std::uint32_t* hidden_pairs) {
  alignas(64) BFloat16 hidden[2][kTokens];
  const std::int64_t tokens = tile.tokens / 16 * 16;
  for (std::int64_t i = 0; i < tile.units; ++i) {
    forward_unit(g + i * kTokens, u + i * kTokens, tile.gates, tile.saved_gate + i * tokens,
                 tile.saved_up + i * tokens, hidden[i % 2], tokens);
    if (i % 2 == 1) pair_units(hidden[0], hidden[1], hidden_pairs + i / 2 * kTokens, tokens);
  }
  if (tile.units % 2 == 1) {
    pair_units(hidden[0], kNoUnit, hidden_pairs + tile.units / 2 * kTokens, tokens);
  }
  no_pairs(tile.units, hidden_pairs);
}

HETMOE_VECTORIZED void plain_swiglu_backward(const float* z, const SwigluTile& tile,
                                             const SwigluGradients& out, float* token_sums) {
  const std::int64_t tokens = tile.tokens / 16 * 16;
  for (std::int64_t i = 0; i < tile.units; ++i) {
    BFloat16* gate = out.gate + i * out.stride;
    BFloat16* up = out.up + i * out.stride;
    backward_unit(z + i * kTokens, tile.gates, tile.saved_gate + i * tokens,
                  tile.saved_up + i * tokens, out.hidden + i * out.stride, gate, up, token_sums,
                  tokens);
    if (i % 2 == 1) {
      pair_units(gate - out.stride, gate, out.gate_pairs + i / 2 * kTokens, tokens);
      pair_units(up - out.stride, up, out.up_pairs + i / 2 * kTokens, tokens);
    }
  }
  if (tile.units % 2 == 1) {
    const std::int64_t last = (tile.units - 1) * out.stride;
    const std::int64_t pair = tile.units / 2 * kTokens;
    pair_units(out.gate + last, kNoUnit, out.gate_pairs + pair, tokens);
    pair_units(out.up + last, kNoUnit, out.up_pairs + pair, tokens);
  }
  no_pairs(tile.units, out.gate_pairs);
  no_pairs(tile.units, out.up_pairs);
}

void packed_swiglu_forward(const float* g, const float* u, const SwigluTile& tile,
                           std::uint32_t* hidden_pairs) {
  static const bool fast = has_avx512_bf16();
  (fast ? avx512_swiglu_forward : plain_swiglu_forward)(g, u, tile, hidden_pairs);
}

void packed_swiglu_backward(const float* z, const SwigluTile& tile, const SwigluGradients& out,
                            float* token_sums) {
  static const bool fast = has_avx512_bf16();
  (fast ? avx512_swiglu_backward : plain_swiglu_backward)(z, tile, out, token_sums);
}

}  // namespace hetmoe
