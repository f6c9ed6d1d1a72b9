#pragma once

namespace hetmoe {

/// Whether what is written by hand for AVX-512 with bf16 (*_avx512.cpp) may be called here.
bool has_avx512_bf16();

}  // namespace hetmoe
