#include "core/tensor/zero_pages.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/util/env.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace hetmoe {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

at::Tensor zero_pages(std::int64_t elements, const at::TensorOptions& options) {
  const std::size_t bytes = static_cast<std::size_t>(elements) * options.dtype().itemsize();
  if (!options.device().is_cpu() || bytes < kHugePage) return at::zeros({elements}, options);
  // Addresses beyond what is needed, so that the first huge page can begin at its multiple.
  const std::size_t mapped = bytes + kHugePage;
  void* const begin = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED) return at::zeros({elements}, options);  // says what is missing
  const std::size_t past = reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
  char* const aligned = static_cast<char*>(begin) + (past == 0 ? 0 : kHugePage - past);
  // As LibTorch decides for its own tensors. Where the kernel has none, small pages do.
  if (c10::utils::check_env("THP_MEM_ALLOC_ENABLE") == true) madvise(aligned, bytes, MADV_HUGEPAGE);
  return at::from_blob(
      aligned, {elements}, [begin, mapped](void*) { munmap(begin, mapped); }, options);
}

}  // namespace hetmoe
