#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/kernels/attention.h"
#include "core/model/microbatch.h"

namespace hetmoe {

/// Attention with its rotary embedding on random heads, forward and then backward, as the decoder
/// calls it: our kernels on the host, LibTorch's under autograd on a GPU.
class AttentionPass {
 public:
  /// place: compute type and device.
  AttentionPass(const at::TensorOptions& place, const AttentionShape& shape);

  void forward();
  void backward();

 private:
  AttentionShape shape_;
  at::Tensor qkv_, dy_;
  std::vector<std::int32_t> document_begin_;
  AttentionResult saved_;  ///< on the host
  at::Tensor output_;      ///< on a GPU, with its graph
};

}  // namespace hetmoe
