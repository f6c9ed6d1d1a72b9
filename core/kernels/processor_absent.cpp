#include "core/kernels/processor.h"

// Processors other than x86-64.

namespace hetmoe {

bool has_avx512_bf16() { return false; }

}  // namespace hetmoe
