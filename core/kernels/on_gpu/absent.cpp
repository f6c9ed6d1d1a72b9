// Built without CUDA: no tensor of a GPU exists, so nobody comes here.
#include "core/base/check.h"
#include "core/kernels/on_gpu/adapters.h"
#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/on_gpu/rows.h"

namespace hetmoe::on_gpu {
namespace {

[[noreturn]] void absent() {
  detail::check_failed(__FILE__, __LINE__, "CUDA is built in", "it is not");
}

}  // namespace

RmsNormResult rms_norm_forward(const at::Tensor&, const at::Tensor&, double) { absent(); }
at::Tensor rms_norm_backward(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                             const at::Tensor&, at::Tensor&, GradientSum) {
  absent();
}
void add_product(const at::Tensor&, const at::Tensor&, at::Tensor&, GradientSum) { absent(); }
void add_weight_gradient(const at::Tensor&, const at::Tensor&, at::Tensor&, GradientSum) {
  absent();
}
at::Tensor embedding_forward(const at::Tensor&, std::span<const std::int32_t>) { absent(); }
void embedding_backward(const at::Tensor&, std::span<const std::int32_t>, at::Tensor&) { absent(); }
at::Tensor make_rotary_table(const AttentionShape&) { absent(); }
RotatedHeads split_and_rotate(const at::Tensor&, const AttentionShape&) { absent(); }
at::Tensor rotate_back_and_join(const RotatedHeads&, const AttentionShape&) { absent(); }
CrossEntropy cross_entropy(const at::Tensor&, const at::Tensor&, std::span<const std::int32_t>,
                           double, at::Tensor*, GradientSum) {
  absent();
}

at::Tensor uploaded_index(std::span<const std::int64_t>) { absent(); }
at::Tensor gather_rows(const at::Tensor&, const at::Tensor&) { absent(); }
void put_rows(const at::Tensor&, const at::Tensor&, at::Tensor&) { absent(); }
void add_repeated_rows(const at::Tensor&, std::span<const std::int64_t>, at::Tensor&) { absent(); }
at::Tensor sum_elements(const at::Tensor&, std::span<const std::int32_t>, std::int64_t) {
  absent();
}

std::unique_ptr<gpu::GroupedProducts> make_group_products() { absent(); }
AdapterForward adapter_forward(const at::Tensor&, const TokenGroups&, const Adapters&,
                               gpu::GroupedProducts&) {
  absent();
}
at::Tensor adapter_backward(const at::Tensor&, const at::Tensor&, const TokenGroups&,
                            const Adapters&, const at::Tensor&, Adapters&, GradientSum,
                            gpu::GroupedProducts&) {
  absent();
}

}  // namespace hetmoe::on_gpu
