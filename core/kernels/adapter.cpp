#include "core/kernels/adapter.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <span>

#include "core/base/check.h"
#include "core/kernels/adapter_packed.h"
#include "core/kernels/linear.h"
#include "core/kernels/on_gpu/adapters.h"
#include "core/kernels/row_copy.h"
#include "core/kernels/tensor_work.h"

namespace hetmoe {
namespace {

void check_shapes(const at::Tensor& x, const TokenGroups& groups, const Adapters& adapters) {
  HETMOE_CHECK(groups.size() == adapters.size(), groups.size(), " groups for ", adapters.size(),
               " adapters");
  HETMOE_CHECK(x.is_contiguous() && x.size(1) == adapters.down.size(1), "rows of ", x.size(1),
               " features, adapters of ", adapters.down.size(1));
}

std::span<const std::int64_t> tokens_of(const TokenGroups& groups, std::int64_t group) {
  return std::span(groups.token)
      .subspan(groups.begin[group], groups.begin[group + 1] - groups.begin[group]);
}

/// Rows that the groups do not cover stay 0; when all are covered nothing needs to be cleared.
at::Tensor result_like(const at::Tensor& x, const TokenGroups& groups) {
  const bool covered = static_cast<std::int64_t>(groups.token.size()) == x.size(0);
  return covered ? at::empty(x.sizes(), x.options()) : at::zeros(x.sizes(), x.options());
}

void clear(Adapters& adapters) {
  for (at::Tensor* tensor :
       {&adapters.down, &adapters.up, &adapters.down_bias, &adapters.up_bias}) {
    tensor->zero_();
  }
}

gpu::GroupedProducts& checked(gpu::GroupedProducts* products) {
  HETMOE_CHECK(products != nullptr, "adapters on a GPU need its products");
  return *products;
}

void add_column_sums(const at::Tensor& rows, at::Tensor sums) {
  sums.add_(at::sum(rows, {0}, /*keepdim=*/false, sums.scalar_type()));
}

Work forward_work(const at::Tensor& x, const TokenGroups& groups, const Adapters& adapters) {
  const auto tokens = static_cast<std::int64_t>(groups.token.size());
  return {2 * product_flops(tokens, adapters.rank(), x.size(1)),
          2 * bytes_of(x) + bytes_of(adapters.down, adapters.up)};
}

}  // namespace

Adapters Adapters::narrow(std::int64_t begin, std::int64_t count) const {
  return {down.narrow(0, begin, count), up.narrow(0, begin, count),
          down_bias.narrow(0, begin, count), up_bias.narrow(0, begin, count)};
}

Adapters empty_gradients_of(const Adapters& adapters) {
  const auto options = adapters.down.options().dtype(
      adapters.down.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  return {at::empty(adapters.down.sizes(), options), at::empty(adapters.up.sizes(), options),
          at::empty(adapters.down_bias.sizes(), options),
          at::empty(adapters.up_bias.sizes(), options)};
}

Adapters zero_gradients_of(const Adapters& adapters) {
  Adapters gradients = empty_gradients_of(adapters);
  clear(gradients);
  return gradients;
}

std::unique_ptr<gpu::GroupedProducts> make_group_products(at::Device device) {
  return device.is_cpu() ? nullptr : on_gpu::make_group_products();
}

AdapterForward adapter_forward(const at::Tensor& x, const TokenGroups& groups,
                               const Adapters& adapters, gpu::GroupedProducts* products) {
  const Operation operation("adapter", forward_work(x, groups, adapters));
  check_shapes(x, groups, adapters);
  if (!x.is_cpu()) return on_gpu::adapter_forward(x, groups, adapters, checked(products));
  at::Tensor y = result_like(x, groups);
  at::Tensor hidden =
      at::empty({static_cast<std::int64_t>(groups.token.size()), adapters.rank()}, x.options());
  if (can_pack_adapters(x, adapters)) {
    packed_adapter_forward(x, groups, adapters, y, hidden);
    return {y, hidden};
  }
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    const auto tokens = tokens_of(groups, g);
    if (tokens.empty()) continue;
    at::Tensor u = hidden.narrow(0, groups.begin[g], static_cast<std::int64_t>(tokens.size()));
    at::addmm_out(u, adapters.down_bias[g], gather_rows(x, tokens), adapters.down[g]).relu_();
    put_rows(at::addmm(adapters.up_bias[g], u, adapters.up[g]), tokens, y);
  }
  return {y, hidden};
}

at::Tensor adapter_backward(const at::Tensor& dy, const at::Tensor& x, const TokenGroups& groups,
                            const Adapters& adapters, const at::Tensor& hidden, Adapters& gradients,
                            GradientSum sum, gpu::GroupedProducts* products) {
  const Work forward = forward_work(x, groups, adapters);
  const Operation operation("adapter", {2 * forward.flops, 2 * forward.bytes});
  check_shapes(x, groups, adapters);
  HETMOE_CHECK(gradients.size() == adapters.size() && dy.is_contiguous(), gradients.size(),
               " gradients of ", adapters.size(), " adapters");
  if (!x.is_cpu()) {
    return on_gpu::adapter_backward(dy, x, groups, adapters, hidden, gradients, sum,
                                    checked(products));
  }
  at::Tensor dx = result_like(x, groups);
  if (can_pack_adapters(x, adapters)) {
    packed_adapter_backward(dy, x, groups, adapters, hidden, gradients, sum, dx);
    return dx;
  }
  if (sum == GradientSum::kBegin) clear(gradients);
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    const auto tokens = tokens_of(groups, g);
    if (tokens.empty()) continue;
    const at::Tensor u =
        hidden.narrow(0, groups.begin[g], static_cast<std::int64_t>(tokens.size()));
    const at::Tensor dy_g = gather_rows(dy, tokens);
    const at::Tensor du = at::mm(dy_g, adapters.up[g].t()).mul_(u.gt(0));
    at::Tensor up = gradients.up[g];
    add_weight_gradient(u, dy_g, up);
    at::Tensor down = gradients.down[g];
    add_weight_gradient(gather_rows(x, tokens), du, down);
    add_column_sums(dy_g, gradients.up_bias[g]);
    add_column_sums(du, gradients.down_bias[g]);
    put_rows(at::mm(du, adapters.down[g].t()), tokens, dx);
  }
  return dx;
}

}  // namespace hetmoe
