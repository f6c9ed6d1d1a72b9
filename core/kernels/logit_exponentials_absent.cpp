#include "core/base/check.h"
#include "core/kernels/logit_exponentials.h"

// Processors other than x86-64.

namespace hetmoe {

void avx512_exponentials_of_logits(const float*, const LogitTile&) {
  HETMOE_CHECK(false, "no AVX-512 in this build");
}

}  // namespace hetmoe
