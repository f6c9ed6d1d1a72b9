#include "core/base/check.h"
#include "core/kernels/head_rows.h"

// Processors other than x86-64.

namespace hetmoe {

void avx512_rotate_rows(const c10::BFloat16*, std::int64_t, const HeadAngles&, std::int64_t,
                        std::int64_t, c10::BFloat16*, std::int64_t) {
  HETMOE_CHECK(false, "no AVX-512 in this build");
}

void avx512_rotate_rows_back(const float*, float, const HeadAngles&, std::int64_t, std::int64_t,
                             c10::BFloat16*, std::int64_t) {
  HETMOE_CHECK(false, "no AVX-512 in this build");
}

void avx512_row_products(const c10::BFloat16*, const c10::BFloat16*, std::int64_t, std::int64_t,
                         std::int64_t, float*) {
  HETMOE_CHECK(false, "no AVX-512 in this build");
}

}  // namespace hetmoe
