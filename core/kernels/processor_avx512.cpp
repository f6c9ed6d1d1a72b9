#include "core/kernels/processor.h"

namespace hetmoe {

bool has_avx512_bf16() { return __builtin_cpu_supports("avx512bf16") != 0; }

}  // namespace hetmoe
