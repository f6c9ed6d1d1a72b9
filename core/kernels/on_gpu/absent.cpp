// Built without CUDA: no tensor of a GPU exists, so nobody comes here.
#include "core/base/check.h"
#include "core/kernels/on_gpu/dense.h"

namespace hetmoe::on_gpu {
namespace {

[[noreturn]] void absent() {
  detail::check_failed(__FILE__, __LINE__, "CUDA is built in", "it is not");
}

}  // namespace

RmsNormResult rms_norm_forward(const at::Tensor&, const at::Tensor&, double) { absent(); }
at::Tensor rms_norm_backward(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                             const at::Tensor&, at::Tensor&) {
  absent();
}
void add_weight_gradient(const at::Tensor&, const at::Tensor&, at::Tensor&) { absent(); }
at::Tensor embedding_forward(const at::Tensor&, std::span<const std::int32_t>) { absent(); }
void embedding_backward(const at::Tensor&, std::span<const std::int32_t>, at::Tensor&) { absent(); }
at::Tensor make_rotary_table(const AttentionShape&) { absent(); }
RotatedHeads split_and_rotate(const at::Tensor&, const AttentionShape&) { absent(); }
at::Tensor rotate_back_and_join(const RotatedHeads&, const AttentionShape&) { absent(); }
CrossEntropy cross_entropy(const at::Tensor&, const at::Tensor&, std::span<const std::int32_t>,
                           double, at::Tensor*) {
  absent();
}

}  // namespace hetmoe::on_gpu
