#include "core/base/check.h"
#include "core/kernels/narrow.h"

// Processors other than x86-64.

namespace hetmoe {

void avx512_narrow_rows(const float*, std::int64_t, std::int64_t, std::int64_t, c10::BFloat16*,
                        std::int64_t, float) {
  HETMOE_CHECK(false, "no AVX-512 in this build");
}

}  // namespace hetmoe
