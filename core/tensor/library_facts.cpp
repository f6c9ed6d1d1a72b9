#include "core/tensor/library_facts.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <torch/headeronly/version.h>

namespace hetmoe {

LibraryFacts library_facts() {
  constexpr std::int64_t kSize = 16;
  const at::Tensor ones = at::ones({kSize, kSize}, at::kFloat);
  const at::Tensor product = at::mm(ones, ones);
  const float* values = product.const_data_ptr<float>();
  bool computes = true;
  for (std::int64_t i = 0; i < kSize * kSize; ++i) computes = computes && values[i] == kSize;
  return {.version = TORCH_VERSION,
          .instructions = at::get_cpu_capability(),
          .threads = at::get_num_threads(),
          .computes = computes};
}

}  // namespace hetmoe
