#include "runtime/calibration/random_tensor.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>

#include <algorithm>

namespace hetmoe {
namespace {

// Drawing takes longer than most of what is timed with it, so large tensors repeat their values.
constexpr std::int64_t kDrawn = 1 << 16;

}  // namespace

at::Tensor random_tensor(at::IntArrayRef shape, double deviation, at::ScalarType type) {
  at::Tensor values = at::empty(shape, at::TensorOptions(type));
  const at::Tensor flat = values.view({-1});
  const at::Tensor drawn =
      at::randn({std::min(kDrawn, flat.numel())}, at::TensorOptions(at::kFloat))
          .mul_(deviation)
          .to(type);
  for (std::int64_t begin = 0; begin < flat.numel(); begin += kDrawn) {
    const std::int64_t count = std::min(kDrawn, flat.numel() - begin);
    flat.narrow(0, begin, count).copy_(drawn.narrow(0, 0, count));
  }
  return values;
}

}  // namespace hetmoe
