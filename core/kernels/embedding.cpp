#include "core/kernels/embedding.h"

#include <vector>

#include "core/base/check.h"
#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/row_copy.h"
#include "core/kernels/tensor_work.h"

namespace hetmoe {
namespace {

std::vector<std::int64_t> checked_rows(std::span<const std::int32_t> tokens, std::int64_t rows) {
  std::vector<std::int64_t> index(tokens.begin(), tokens.end());
  for (std::int64_t token : index) {
    HETMOE_CHECK(token >= 0 && token < rows, "token ", token, " outside [0, ", rows, ")");
  }
  return index;
}

}  // namespace

at::Tensor embedding_forward(const at::Tensor& table, std::span<const std::int32_t> tokens) {
  const double row_bytes =
      static_cast<double>(table.size(1)) * static_cast<double>(table.element_size());
  const Operation operation("embedding",
                            {.bytes = 2 * row_bytes * static_cast<double>(tokens.size())});
  const std::vector<std::int64_t> rows = checked_rows(tokens, table.size(0));
  return table.is_cpu() ? gather_rows(table, rows) : on_gpu::embedding_forward(table, tokens);
}

void embedding_backward(const at::Tensor& dy, std::span<const std::int32_t> tokens,
                        at::Tensor& gradient, GradientSum sum) {
  const bool begins = sum == GradientSum::kBegin;
  const double sum_bytes = 4 * static_cast<double>(dy.numel());
  const Operation operation(
      "embedding", {.bytes = bytes_of(dy) + 2 * sum_bytes + (begins ? bytes_of(gradient) : 0)});
  // Few rows of a vocabulary occur, and those that do may occur again.
  if (begins) gradient.zero_();
  if (!dy.is_cpu()) return on_gpu::embedding_backward(dy, tokens, gradient);
  add_repeated_rows(dy.contiguous(), checked_rows(tokens, gradient.size(0)), gradient);
}

}  // namespace hetmoe
