#include "core/kernels/narrow.h"

#include "core/kernels/processor.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {

HETMOE_VECTORIZED void plain_narrow_rows(const float* source, std::int64_t source_stride,
                                         std::int64_t rows, std::int64_t columns,
                                         c10::BFloat16* target, std::int64_t target_stride,
                                         float factor) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* in = source + i * source_stride;
    c10::BFloat16* out = target + i * target_stride;
    for (std::int64_t j = 0; j < columns; ++j) out[j] = narrow_to_bfloat16(factor * in[j]);
  }
}

void narrow_rows(const float* source, std::int64_t source_stride, std::int64_t rows,
                 std::int64_t columns, c10::BFloat16* target, std::int64_t target_stride,
                 float factor) {
  static const bool fast = has_avx512_bf16();
  (fast ? avx512_narrow_rows : plain_narrow_rows)(source, source_stride, rows, columns, target,
                                                  target_stride, factor);
}

}  // namespace hetmoe
