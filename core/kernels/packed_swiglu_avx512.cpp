#include <algorithm>

#include "core/kernels/avx512_bf16.h"
#include "core/kernels/packed_swiglu.h"

// The same as the plain functions on a processor that narrows to bf16 by itself, two units at a
// time. Here 1 / (1 + e) is an estimate with one step of Newton's, and what a bf16 could only hold
// as a denormal becomes 0.

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kTokens = kSwigluTokens;
constexpr std::int64_t kLanes = 16;

/// 1 / (1 + exp(-x)) to 3e-7, exp as in fast_exp; NaN stays NaN.
HETMOE_AVX512_BF16 inline __m512 sigmoid(__m512 x) {
  // The second operand wins where one is NaN.
  __m512 t = _mm512_max_ps(_mm512_set1_ps(-87.0F), _mm512_sub_ps(_mm512_setzero_ps(), x));
  t = _mm512_min_ps(_mm512_set1_ps(88.0F), t);
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(t, _mm512_set1_ps(1.44269504F)), 0);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375F), t);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4F), r);
  __m512 p = _mm512_set1_ps(1.38888889e-3F);
  for (const float coefficient :
       {8.33333333e-3F, 4.16666667e-2F, 1.66666667e-1F, 0.5F, 1.0F, 1.0F}) {
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(coefficient));
  }
  const __m512 sum = _mm512_add_ps(_mm512_set1_ps(1.0F), _mm512_scalef_ps(p, n));
  const __m512 estimate = _mm512_rcp14_ps(sum);
  const __m512 error = _mm512_fnmadd_ps(sum, estimate, _mm512_set1_ps(1.0F));
  return _mm512_fmadd_ps(estimate, error, estimate);
}

struct BackwardUnit {
  __m512 hidden, gate, up, sum;
};

HETMOE_AVX512_BF16 inline BackwardUnit backward_unit(__m512 z, __m512 gate, __m512 x, __m512 y) {
  const __m512 s = sigmoid(x);
  const __m512 silu = _mm512_mul_ps(x, s);
  const __m512 a = _mm512_mul_ps(silu, y);
  const __m512 da = _mm512_mul_ps(gate, z);
  // s (1 + x (1 - s)) = s + silu - silu s
  const __m512 slope = _mm512_fnmadd_ps(silu, s, _mm512_add_ps(s, silu));
  return {_mm512_mul_ps(gate, a), _mm512_mul_ps(_mm512_mul_ps(da, y), slope),
          _mm512_mul_ps(da, silu), _mm512_mul_ps(a, z)};
}

/// Rows of what a last unit without a second one is paired with: zeros to read, and to be written.
struct NoUnit {
  alignas(64) float product[kTokens] = {};
  alignas(64) BFloat16 saved[3][kTokens] = {};
};

}  // namespace

HETMOE_AVX512_BF16 void avx512_swiglu_forward(const float* g, const float* u,
                                              const SwigluTile& tile, std::uint32_t* hidden_pairs) {
  NoUnit none;
  std::fill(hidden_pairs + (tile.units + 1) / 2 * kTokens,
            hidden_pairs + kSwigluUnits / 2 * kTokens, 0U);
  for (std::int64_t i = 0; i < tile.units; i += 2) {
    const bool is_pair = i + 1 < tile.units;
    const float* g_rows[2] = {g + i * kTokens, is_pair ? g + (i + 1) * kTokens : none.product};
    const float* u_rows[2] = {u + i * kTokens, is_pair ? u + (i + 1) * kTokens : none.product};
    BFloat16* gate = tile.saved_gate + i * tile.tokens;
    BFloat16* up = tile.saved_up + i * tile.tokens;
    BFloat16* second_gate = is_pair ? gate + tile.tokens : none.saved[0];
    BFloat16* second_up = is_pair ? up + tile.tokens : none.saved[1];
    for (std::int64_t t = 0; t < tile.tokens; t += kLanes) {
      const __m512 gates = _mm512_loadu_ps(tile.gates + t);
      __m512 a[2], b[2], hidden[2];
      for (int j = 0; j < 2; ++j) {
        a[j] = _mm512_loadu_ps(g_rows[j] + t);
        b[j] = _mm512_loadu_ps(u_rows[j] + t);
        hidden[j] = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(gates, a[j]), sigmoid(a[j])), b[j]);
      }
      store_rows(narrowed(a[0], a[1]), gate + t, second_gate + t);
      store_rows(narrowed(b[0], b[1]), up + t, second_up + t);
      store_pairs(narrowed(hidden[0], hidden[1]), hidden_pairs + i / 2 * kTokens + t);
    }
  }
}

HETMOE_AVX512_BF16 void avx512_swiglu_backward(const float* z, const SwigluTile& tile,
                                               const SwigluGradients& out, float* token_sums) {
  NoUnit none;
  for (std::uint32_t* pairs : {out.gate_pairs, out.up_pairs}) {
    std::fill(pairs + (tile.units + 1) / 2 * kTokens, pairs + kSwigluUnits / 2 * kTokens, 0U);
  }
  for (std::int64_t i = 0; i < tile.units; i += 2) {
    const bool is_pair = i + 1 < tile.units;
    const float* second_z = is_pair ? z + (i + 1) * kTokens : none.product;
    const BFloat16* gate = tile.saved_gate + i * tile.tokens;
    const BFloat16* up = tile.saved_up + i * tile.tokens;
    const BFloat16* second_gate = is_pair ? gate + tile.tokens : none.saved[0];
    const BFloat16* second_up = is_pair ? up + tile.tokens : none.saved[0];
    BFloat16* rows[3] = {out.hidden + i * out.stride, out.gate + i * out.stride,
                         out.up + i * out.stride};
    BFloat16* second_rows[3];
    for (int k = 0; k < 3; ++k) second_rows[k] = is_pair ? rows[k] + out.stride : none.saved[1];
    for (std::int64_t t = 0; t < tile.tokens; t += kLanes) {
      const __m512 gates = _mm512_loadu_ps(tile.gates + t);
      const BackwardUnit first = backward_unit(_mm512_loadu_ps(z + i * kTokens + t), gates,
                                               widened(gate + t), widened(up + t));
      const BackwardUnit second = backward_unit(_mm512_loadu_ps(second_z + t), gates,
                                                widened(second_gate + t), widened(second_up + t));
      const __m512 sums = _mm512_add_ps(_mm512_loadu_ps(token_sums + t), first.sum);
      _mm512_storeu_ps(token_sums + t, _mm512_add_ps(sums, second.sum));
      const __m512i dgate = narrowed(first.gate, second.gate);
      const __m512i dup = narrowed(first.up, second.up);
      store_rows(narrowed(first.hidden, second.hidden), rows[0] + t, second_rows[0] + t);
      store_rows(dgate, rows[1] + t, second_rows[1] + t);
      store_rows(dup, rows[2] + t, second_rows[2] + t);
      store_pairs(dgate, out.gate_pairs + i / 2 * kTokens + t);
      store_pairs(dup, out.up_pairs + i / 2 * kTokens + t);
    }
  }
}

}  // namespace hetmoe
