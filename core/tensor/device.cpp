#include "core/tensor/device.h"

#include <ATen/ops/empty.h>

namespace hetmoe {

at::Tensor empty_pinned(at::IntArrayRef sizes, at::ScalarType type) {
  return at::empty(sizes, at::TensorOptions(type).pinned_memory(true));
}

}  // namespace hetmoe
