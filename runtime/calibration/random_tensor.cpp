#include "runtime/calibration/random_tensor.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace hetmoe {
namespace {

// Drawing takes longer than most of what is timed with it, so large tensors repeat their values.
constexpr std::int64_t kDrawn = 1 << 16;

}  // namespace

at::Tensor random_tensor(at::IntArrayRef shape, double deviation, const at::TensorOptions& place) {
  at::Tensor values = at::empty(shape, place);
  const at::Tensor flat = values.view({-1});
  const at::Tensor drawn =
      at::randn({std::min(kDrawn, flat.numel())}, at::TensorOptions(at::kFloat))
          .mul_(deviation)
          .to(place);
  for (std::int64_t begin = 0; begin < flat.numel(); begin += kDrawn) {
    const std::int64_t count = std::min(kDrawn, flat.numel() - begin);
    flat.narrow(0, begin, count).copy_(drawn.narrow(0, 0, count));
  }
  return values;
}

std::vector<SliceWeights> random_slices(const at::TensorOptions& place, std::int64_t hidden_size,
                                        std::int64_t width, std::int64_t count) {
  const auto fp32 = place.dtype(at::kFloat);
  std::vector<SliceWeights> slices;
  for (std::int64_t slice = 0; slice < count; ++slice) {
    slices.push_back({.gate_up = random_tensor({2 * width, hidden_size}, 0.02, place),
                      .down = random_tensor({width, hidden_size}, 0.02, place),
                      .gate_up_gradient = at::zeros({2 * width, hidden_size}, fp32),
                      .down_gradient = at::zeros({width, hidden_size}, fp32)});
  }
  return slices;
}

}  // namespace hetmoe
