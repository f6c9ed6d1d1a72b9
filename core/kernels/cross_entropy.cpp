#include "core/kernels/cross_entropy.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/cross_entropy_packed.h"
#include "core/kernels/linear.h"
#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/tensor_work.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

// Each chunk adds to the whole gradient of the head: at 16 MiB of logits and a vocabulary of 32,000
// that cost as much as a quarter of the product. No cache of a core holds a chunk either way.
constexpr std::int64_t kLogitBytesPerChunk = 64 << 20;
constexpr int kLanes = 16;

/// Loss of one row; with `scale` != 0 the row becomes scale * (softmax - one hot). `powers` has
/// room for the row's exponentials, which are taken once.
template <typename T>
HETMOE_INLINE double loss_of_row(T* row, std::int64_t columns, std::int32_t target, double scale,
                                 Arithmetic<T>* powers) {
  using A = Arithmetic<T>;
  A largest[kLanes];
  for (A& value : largest) value = -std::numeric_limits<A>::infinity();
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const A value = widen(row[i + j]);
      largest[j] = value > largest[j] ? value : largest[j];
    }
  }
  A peak = -std::numeric_limits<A>::infinity();
  for (int j = 0; j < kLanes; ++j) peak = largest[j] > peak ? largest[j] : peak;
  for (; i < columns; ++i) peak = widen(row[i]) > peak ? widen(row[i]) : peak;

  A lane[kLanes] = {};
  for (i = 0; i + kLanes <= columns; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      powers[i + j] = exponential_below_peak(widen(row[i + j]) - peak);
      lane[j] += powers[i + j];
    }
  }
  A sum = 0;
  for (int j = 0; j < kLanes; ++j) sum += lane[j];
  for (; i < columns; ++i) {
    powers[i] = exponential_below_peak(widen(row[i]) - peak);
    sum += powers[i];
  }

  const double loss = std::log(static_cast<double>(sum)) + static_cast<double>(peak) -
                      static_cast<double>(widen(row[target]));
  if (scale == 0) return loss;
  const A factor = static_cast<A>(scale) / sum;
  for (i = 0; i < columns; ++i) row[i] = NarrowTo<T>::from(powers[i] * factor);
  const A at_target = powers[target] * factor - static_cast<A>(scale);
  row[target] = NarrowTo<T>::from(at_target);
  return loss;
}

HETMOE_VECTORIZED double row_loss(float* row, std::int64_t n, std::int32_t target, double scale,
                                  float* powers) {
  return loss_of_row(row, n, target, scale, powers);
}
HETMOE_VECTORIZED double row_loss(double* row, std::int64_t n, std::int32_t target, double scale,
                                  double* powers) {
  return loss_of_row(row, n, target, scale, powers);
}
HETMOE_VECTORIZED double row_loss(at::BFloat16* row, std::int64_t n, std::int32_t target,
                                  double scale, float* powers) {
  return loss_of_row(row, n, target, scale, powers);
}

/// Losses of the rows of one chunk of logits, turned into gradients where scale != 0.
double chunk_loss(at::Tensor& logits, std::span<const std::int32_t> targets, double scale) {
  const std::int64_t rows = logits.size(0);
  const std::int64_t columns = logits.size(1);
  std::vector<double> losses(static_cast<std::size_t>(rows));
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, logits.scalar_type(), "cross_entropy", [&] {
    auto* p = logits.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, rows, 8, [&](std::int64_t begin, std::int64_t end) {
      std::vector<Arithmetic<scalar_t>> powers(columns);
      for (std::int64_t row = begin; row < end; ++row) {
        losses[row] = row_loss(p + row * columns, columns, targets[row], scale, powers.data());
      }
    });
  });
  double sum = 0;
  for (double loss : losses) sum += loss;
  return sum;
}

std::int64_t rows_per_chunk(const at::Tensor& head) {
  const std::int64_t bytes_per_row = head.size(0) * static_cast<std::int64_t>(head.element_size());
  return std::clamp<std::int64_t>(kLogitBytesPerChunk / bytes_per_row / 64 * 64, 64, 4096);
}

void check_targets(const at::Tensor& x, std::span<const std::int32_t> targets) {
  HETMOE_CHECK(static_cast<std::int64_t>(targets.size()) == x.size(0), targets.size(),
               " targets for ", x.size(0), " rows");
}

double flops_of_logits(const at::Tensor& x, const at::Tensor& head) {
  return product_flops(x.size(0), head.size(0), x.size(1));
}

double for_each_chunk(const at::Tensor& x, const at::Tensor& head,
                      std::span<const std::int32_t> targets, double scale, at::Tensor* dx,
                      at::Tensor* head_gradient, GradientSum sum) {
  const std::int64_t rows = x.size(0);
  check_targets(x, targets);
  const std::int64_t step = std::min(rows_per_chunk(head), std::max<std::int64_t>(rows, 1));
  if (rows == 0 && head_gradient != nullptr && sum == GradientSum::kBegin) head_gradient->zero_();
  double loss_sum = 0;
  for (std::int64_t begin = 0; begin < rows; begin += step) {
    const std::int64_t count = std::min(step, rows - begin);
    const at::Tensor part = x.narrow(0, begin, count);
    at::Tensor logits = linear_forward(part, head);
    loss_sum += chunk_loss(logits, targets.subspan(begin, count), scale);
    if (dx == nullptr) continue;
    dx->narrow(0, begin, count).copy_(linear_input_gradient(logits, head));
    add_weight_gradient(logits, part, *head_gradient, std::exchange(sum, GradientSum::kContinue));
  }
  return loss_sum;
}

}  // namespace

CrossEntropyResult cross_entropy_with_gradient(const at::Tensor& x, const at::Tensor& head,
                                               std::span<const std::int32_t> targets,
                                               double gradient_scale, at::Tensor& head_gradient,
                                               GradientSum sum, ReusedBuffer& memory) {
  CrossEntropyResult result;
  if (can_pack_cross_entropy(x, head)) {
    HeadGradients gradients{at::empty_like(x), head_gradient, gradient_scale, sum, memory};
    const Operation operation("cross entropy", {3 * flops_of_logits(x, head),
                                                bytes_of(x, head, head_gradient, gradients.dx)});
    check_targets(x, targets);
    result.loss_sum = packed_cross_entropy(x, head, targets, &gradients);
    result.dx = std::move(gradients.dx);
    return result;
  }
  const Operation operation("cross entropy", {.bytes = 2 * bytes_of(x)});
  if (!x.is_cpu()) {
    on_gpu::CrossEntropy there =
        on_gpu::cross_entropy(x, head, targets, gradient_scale, &head_gradient, sum);
    return {Deferred(std::move(there.loss_sum)), std::move(there.dx)};
  }
  result.dx = at::empty_like(x);
  result.loss_sum =
      for_each_chunk(x, head, targets, gradient_scale, &result.dx, &head_gradient, sum);
  return result;
}

CrossEntropyResult cross_entropy_with_gradient(const at::Tensor& x, const at::Tensor& head,
                                               std::span<const std::int32_t> targets,
                                               double gradient_scale, at::Tensor& head_gradient,
                                               GradientSum sum) {
  ReusedBuffer memory;
  return cross_entropy_with_gradient(x, head, targets, gradient_scale, head_gradient, sum, memory);
}

double cross_entropy(const at::Tensor& x, const at::Tensor& head,
                     std::span<const std::int32_t> targets) {
  if (!x.is_cpu())
    return on_gpu::cross_entropy(x, head, targets, 0, nullptr, GradientSum::kContinue)
        .loss_sum.item<double>();
  if (can_pack_cross_entropy(x, head)) {
    const Operation operation("cross entropy", {flops_of_logits(x, head), bytes_of(x, head)});
    check_targets(x, targets);
    return packed_cross_entropy(x, head, targets, nullptr);
  }
  return for_each_chunk(x, head, targets, 0, nullptr, nullptr, GradientSum::kContinue);
}

}  // namespace hetmoe
