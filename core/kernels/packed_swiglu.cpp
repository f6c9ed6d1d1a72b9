#include "core/kernels/packed_swiglu.h"

#include <cstdint>

#include "core/kernels/packed_matrix.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {

using c10::BFloat16;
constexpr std::int64_t kColumns = PackedMatrix::kPanelColumns;
constexpr int kLanes = 16;

HETMOE_VECTORIZED void packed_swiglu_forward(const float* g, const float* u, float gate,
                                             BFloat16* saved_gate, BFloat16* saved_up,
                                             BFloat16* hidden) {
  for (std::int64_t i = 0; i < kColumns; ++i) {
    saved_gate[i] = narrow_to_bfloat16(g[i]);
    saved_up[i] = narrow_to_bfloat16(u[i]);
    hidden[i] = narrow_to_bfloat16(gate * g[i] * sigmoid(g[i]) * u[i]);
  }
}

HETMOE_VECTORIZED float packed_swiglu_backward(const float* z, float gate, BFloat16* saved_gate,
                                               BFloat16* saved_up, BFloat16* hidden) {
  float lane[kLanes] = {};
  for (std::int64_t i = 0; i < kColumns; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const float x = widen(saved_gate[i + j]);
      const float up = widen(saved_up[i + j]);
      const float s = sigmoid(x);
      const float silu = x * s;
      const float a = silu * up;
      const float da = gate * z[i + j];
      lane[j] += a * z[i + j];
      hidden[i + j] = narrow_to_bfloat16(gate * a);
      saved_up[i + j] = narrow_to_bfloat16(da * silu);
      saved_gate[i + j] = narrow_to_bfloat16(da * up * s * (1.0F + x * (1.0F - s)));
    }
  }
  float sum = 0;
  for (int j = 0; j < kLanes; ++j) sum += lane[j];
  return sum;
}

}  // namespace hetmoe
