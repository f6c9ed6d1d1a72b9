#include "core/base/check.h"
#include "core/kernels/packed_swiglu.h"

// Processors other than x86-64.

namespace hetmoe {

void avx512_swiglu_forward(const float*, const float*, const SwigluTile&, std::uint32_t*) {
  HETMOE_CHECK(false, "no AVX-512 in this build");
}

void avx512_swiglu_backward(const float*, const SwigluTile&, const SwigluGradients&, float*) {
  HETMOE_CHECK(false, "no AVX-512 in this build");
}

}  // namespace hetmoe
