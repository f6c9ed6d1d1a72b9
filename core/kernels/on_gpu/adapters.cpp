#include "core/kernels/on_gpu/adapters.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/threshold_backward.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "core/kernels/on_gpu/products.h"
#include "core/kernels/on_gpu/rows.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {
namespace {

using gpu::Form;

// cuBLAS multiplies bf16 to fp32 in one call per group. Beyond so many calls it costs less to widen
// the rows, which is exact, and to go in one.
constexpr std::int64_t kMostCalls = 16;

/// [n]: the group of every grouped token.
at::Tensor uploaded_groups(const TokenGroups& groups) {
  std::vector<std::int64_t> group_of(groups.token.size());
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    std::fill(group_of.begin() + groups.begin[g], group_of.begin() + groups.begin[g + 1], g);
  }
  return uploaded_index(group_of);
}

/// Rows that the groups do not cover stay 0.
at::Tensor put_in_place(const at::Tensor& rows, const at::Tensor& token, const at::Tensor& like) {
  at::Tensor target =
      rows.size(0) == like.size(0) ? at::empty_like(like) : at::zeros(like.sizes(), like.options());
  put_rows(rows, token, target);
  return target;
}

/// One product per group: its rows, which lie group after group, and its adapter's matrices.
class GroupProducts {
 public:
  GroupProducts(const TokenGroups& groups, gpu::GroupedProducts& products)
      : groups_(groups), products_(products) {}

  /// out (+)= rows weight (kAB) or rows weight^T (kABt). Shape: rows [n, depth], out [n, columns].
  void multiply(Form form, const at::Tensor& rows, const at::Tensor& weight, const at::Tensor& out,
                bool adds = false) {
    run({.form = form, .in = number_of(rows), .out = number_of(out), .adds = adds},
        [&](std::int64_t g, std::int64_t begin, std::int64_t count) {
          return product(part_from_row(rows, begin), part_of_stack(weight, g),
                         part_from_row(out, begin), count, out.size(1), rows.size(1));
        });
  }

  /// gradient (+)= left^T right. Shape: left [n, L], right [n, R], gradient [G, L, R] fp32.
  void weight_gradient(const at::Tensor& left, const at::Tensor& right, const at::Tensor& gradient,
                       bool adds) {
    if (groups_.size() > kMostCalls && left.scalar_type() == at::kBFloat16) {
      return weight_gradient(left.to(at::kFloat), right.to(at::kFloat), gradient, adds);
    }
    run({.form = Form::kAtB, .in = number_of(left), .out = number_of(gradient), .adds = adds},
        [&](std::int64_t g, std::int64_t begin, std::int64_t count) {
          return product(part_from_row(left, begin), part_from_row(right, begin),
                         part_of_stack(gradient, g), left.size(1), right.size(1), count);
        });
  }

 private:
  template <typename Body>
  void run(const gpu::ProductKind& kind, Body body) {
    std::vector<gpu::Product> work;
    for (std::int64_t g = 0; g < groups_.size(); ++g) {
      const std::int64_t begin = groups_.begin[g];
      const std::int64_t count = groups_.begin[g + 1] - begin;
      if (count > 0) work.push_back(body(g, begin, count));
    }
    if (!work.empty()) products_.run(kind, work, compute_stream());
  }

  const TokenGroups& groups_;
  gpu::GroupedProducts& products_;
};

/// Products write the gradients of groups that have tokens; others must be cleared.
bool all_have_tokens(const TokenGroups& groups) {
  return std::ranges::adjacent_find(groups.begin) == groups.begin.end();
}

}  // namespace

std::unique_ptr<gpu::GroupedProducts> make_group_products() {
  constexpr int kStreams = 4;
  return gpu::make_batched_products(gpu::make_stream_products(kStreams));
}

// The bias is laid where the product is added to it, so that their sum is rounded once.
AdapterForward adapter_forward(const at::Tensor& x, const TokenGroups& groups,
                               const Adapters& adapters, gpu::GroupedProducts& products) {
  GroupProducts of_groups(groups, products);
  const at::Tensor token = uploaded_index(groups.token);
  const at::Tensor group = uploaded_groups(groups);
  at::Tensor hidden = gather_rows(adapters.down_bias, group);
  of_groups.multiply(Form::kAB, gather_rows(x, token), adapters.down, hidden, /*adds=*/true);
  hidden.relu_();
  const at::Tensor out = gather_rows(adapters.up_bias, group);
  of_groups.multiply(Form::kAB, hidden, adapters.up, out, /*adds=*/true);
  return {put_in_place(out, token, x), hidden};
}

at::Tensor adapter_backward(const at::Tensor& dy, const at::Tensor& x, const TokenGroups& groups,
                            const Adapters& adapters, const at::Tensor& hidden, Adapters& gradients,
                            GradientSum sum, gpu::GroupedProducts& products) {
  GroupProducts of_groups(groups, products);
  const GroupSums sums(groups.begin);
  const at::Tensor token = uploaded_index(groups.token);
  const at::Tensor dout = gather_rows(dy, token);
  at::Tensor dhidden = at::empty_like(hidden);
  of_groups.multiply(Form::kABt, dout, adapters.up, dhidden);
  at::threshold_backward_out(dhidden, dhidden, hidden, 0);

  const bool continues = sum == GradientSum::kContinue;
  const bool adds = continues || !all_have_tokens(groups);
  if (adds && !continues) {
    gradients.up.zero_();
    gradients.down.zero_();
  }
  of_groups.weight_gradient(hidden, dout, gradients.up, adds);
  of_groups.weight_gradient(gather_rows(x, token), dhidden, gradients.down, adds);
  sums.run(dout, continues, gradients.up_bias);
  sums.run(dhidden, continues, gradients.down_bias);
  // dout has been read by all: its memory takes the gradient of x.
  of_groups.multiply(Form::kABt, dhidden, adapters.down, dout);
  return put_in_place(dout, token, x);
}

}  // namespace hetmoe::on_gpu
