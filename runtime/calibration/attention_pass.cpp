#include "runtime/calibration/attention_pass.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/kernels/on_gpu/dense.h"
#include "core/model/gpu_attention.h"
#include "runtime/calibration/random_tensor.h"

namespace hetmoe {

AttentionPass::AttentionPass(const at::TensorOptions& place, const AttentionShape& shape)
    : shape_(shape),
      qkv_(random_tensor({shape.sequences * shape.length, shape.row_width()}, 1.0, place)),
      dy_(random_tensor({shape.sequences * shape.length, shape.output_width()}, 1e-3, place)),
      document_begin_(static_cast<std::size_t>(shape.sequences * shape.length), 0) {
  if (qkv_.is_cpu()) return;
  shape_.rotary_table = on_gpu::make_rotary_table(shape_);
  qkv_.requires_grad_(true);
}

void AttentionPass::forward() {
  if (qkv_.is_cpu()) {
    saved_ = attention_forward(qkv_, shape_, document_begin_);
    return;
  }
  const at::AutoGradMode with_gradients(true);
  output_ = attention_on_gpu(qkv_, shape_, {});
}

void AttentionPass::backward() {
  if (qkv_.is_cpu()) {
    attention_backward(dy_, saved_, shape_, document_begin_);
    saved_ = {};
    return;
  }
  torch::autograd::grad({output_}, {qkv_}, {dy_});
  output_.reset();
}

}  // namespace hetmoe
