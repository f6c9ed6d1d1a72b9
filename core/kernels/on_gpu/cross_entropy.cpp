#include "core/kernels/gpu/cross_entropy.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <utility>

#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {
namespace {

// Enough rows to fill a GPU, and no more memory than a large layer takes anyhow.
constexpr std::int64_t kLogitBytesPerChunk = std::int64_t{256} << 20;

std::int64_t rows_per_chunk(const at::Tensor& head) {
  const std::int64_t bytes_per_row = head.size(0) * static_cast<std::int64_t>(head.element_size());
  return std::max<std::int64_t>(kLogitBytesPerChunk / bytes_per_row / 128 * 128, 128);
}

void loss_of_chunk(at::Tensor& logits, const at::Tensor& targets, const at::Tensor& loss,
                   double gradient_scale, bool with_gradient) {
  with_element(logits, [&](auto element) {
    using T = decltype(element);
    if (with_gradient) {
      gpu::cross_entropy_with_gradient<T>(
          mutable_data<T>(logits), data<std::int32_t>(targets), static_cast<float>(gradient_scale),
          mutable_data<float>(loss), logits.size(0), logits.size(1), compute_stream());
    } else {
      gpu::cross_entropy<T>(data<T>(logits), data<std::int32_t>(targets), mutable_data<float>(loss),
                            logits.size(0), logits.size(1), compute_stream());
    }
  });
}

}  // namespace

CrossEntropy cross_entropy(const at::Tensor& x, const at::Tensor& head,
                           std::span<const std::int32_t> targets, double gradient_scale,
                           at::Tensor* head_gradient, GradientSum sum) {
  const std::int64_t rows = x.size(0);
  HETMOE_CHECK(static_cast<std::int64_t>(targets.size()) == rows, targets.size(), " targets for ",
               rows, " rows");
  const at::Tensor index = uploaded(targets, at::kInt);
  const at::Tensor loss = at::empty({rows}, x.options().dtype(at::kFloat));
  CrossEntropy result;
  if (head_gradient != nullptr) result.dx = at::empty_like(x);
  if (head_gradient != nullptr && rows == 0 && sum == GradientSum::kBegin) head_gradient->zero_();
  const std::int64_t step = rows_per_chunk(head);
  for (std::int64_t begin = 0; begin < rows; begin += step) {
    const std::int64_t count = std::min(step, rows - begin);
    const at::Tensor part = x.narrow(0, begin, count);
    at::Tensor logits = at::mm(part, head.t());
    loss_of_chunk(logits, index.narrow(0, begin, count), loss.narrow(0, begin, count),
                  gradient_scale, head_gradient != nullptr);
    if (head_gradient == nullptr) continue;
    at::Tensor dx = result.dx.narrow(0, begin, count);
    at::mm_out(dx, logits, head);
    add_weight_gradient(logits, part, *head_gradient, std::exchange(sum, GradientSum::kContinue));
  }
  result.loss_sum = at::sum(loss, at::kDouble).view({1});
  return result;
}

}  // namespace hetmoe::on_gpu
