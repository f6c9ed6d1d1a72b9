#pragma once

#include <c10/util/BFloat16.h>

namespace hetmoe {

/// One row of one 64-column panel of a slice's hidden layer, fp32 in, bf16 out.

/// saved_gate, saved_up = g, u; hidden = gate * silu(g) * u.
void packed_swiglu_forward(const float* g, const float* u, float gate, c10::BFloat16* saved_gate,
                           c10::BFloat16* saved_up, c10::BFloat16* hidden);

/// From z = dhidden of the ungated layer: saved_gate and saved_up become their gradients, hidden
/// gets gate * silu(g) * u again. Gives the sum of silu(g) * u * z.
float packed_swiglu_backward(const float* z, float gate, c10::BFloat16* saved_gate,
                             c10::BFloat16* saved_up, c10::BFloat16* hidden);

}  // namespace hetmoe
