#pragma once

namespace hetmoe {

/// Whether what is written by hand for AVX-512 with bf16 (*_avx512.cpp) may be called here.
inline bool has_avx512_bf16() {
#ifdef __x86_64__
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

}  // namespace hetmoe
