#include "core/kernels/factorised_adapter.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <span>
#include <vector>

#include "core/kernels/linear.h"
#include "core/kernels/row_copy.h"
#include "core/kernels/tensor_work.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kMiddleBytes = std::int64_t{32} << 20;

at::ScalarType wide_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// The heads' weights as the matrices of the two big products.
struct HeadMatrices {
  at::Tensor down;       ///< [D, r h]
  at::Tensor down_base;  ///< [D, r]
  at::Tensor up;         ///< [r h, D]: a copy, the head has [r, D, h]
  at::Tensor up_base;    ///< [r, D]

  explicit HeadMatrices(const AdapterHeads& heads)
      : down(heads.down.weight.view({heads.hidden_size(), -1})),
        down_base(heads.down.bias.view({heads.hidden_size(), -1})),
        up(heads.up.weight.view({heads.rank(), heads.hidden_size(), -1})
               .permute({0, 2, 1})
               .contiguous()
               .view({-1, heads.hidden_size()})),
        up_base(heads.up.bias.view({heads.rank(), -1})) {}
};

/// Some tokens in the order of their groups, and the group of each.
struct Chunk {
  std::int64_t begin = 0;
  std::span<const std::int64_t> token;
  std::vector<std::int64_t> group;

  std::int64_t size() const { return static_cast<std::int64_t>(token.size()); }
};

std::vector<Chunk> chunks_of(const TokenGroups& groups, std::int64_t bytes_per_token) {
  const std::int64_t most = std::max<std::int64_t>(1, kMiddleBytes / bytes_per_token);
  const auto tokens = static_cast<std::int64_t>(groups.token.size());
  std::vector<Chunk> chunks;
  std::int64_t group = 0;
  for (std::int64_t begin = 0; begin < tokens; begin += most) {
    const std::int64_t count = std::min(most, tokens - begin);
    Chunk chunk{begin, std::span(groups.token).subspan(begin, count), {}};
    for (std::int64_t i = begin; i < begin + count; ++i) {
      while (groups.begin[group + 1] <= i) ++group;
      chunk.group.push_back(group);
    }
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

std::int64_t bytes_per_token(const at::Tensor& code, const AdapterHeads& heads) {
  return heads.rank() * code.size(1) * static_cast<std::int64_t>(code.element_size());
}

/// [n, r] outer [n, h] -> [n, r, h].
at::Tensor outer_product(const at::Tensor& u, const at::Tensor& a) {
  return u.unsqueeze(2).mul(a.unsqueeze(1));
}

/// [n, r, h] times [n, h] over h.
at::Tensor contract_code(const at::Tensor& middle, const at::Tensor& a) {
  return at::bmm(middle, a.unsqueeze(2)).squeeze(2);
}

/// [n, r] times [n, r, h] over r.
at::Tensor contract_units(const at::Tensor& u, const at::Tensor& middle) {
  return at::bmm(u.unsqueeze(1), middle).squeeze(1);
}

void add_product_gradient(const at::Tensor& left, const at::Tensor& right, at::Tensor gradient,
                          GradientSum sum) {
  add_weight_gradient(left, right, gradient, sum);
}

/// A small head's part: gradients of weight and bias, and of the code.
at::Tensor bias_head_backward(const at::Tensor& dout, const at::Tensor& a, GeneratorHead& head,
                              GradientSum sum) {
  add_product_gradient(dout, a, head.weight_gradient, sum);
  if (sum == GradientSum::kBegin) head.bias_gradient.zero_();
  head.bias_gradient.add_(at::sum(dout, {0}, false, head.bias_gradient.scalar_type()));
  return at::mm(dout, head.weight);
}

class Backward {
 public:
  Backward(const at::Tensor& code, AdapterHeads& heads, GradientSum sum)
      : heads_(heads),
        of_step_(sum),
        of_chunk_(sum),
        matrices_(heads),
        wide_(wide_type(code)),
        dup_(at::zeros(matrices_.up.sizes(), code.options().dtype(wide_))),
        dcode_(at::zeros(code.sizes(), code.options().dtype(wide_))) {}

  /// Gives dx of the chunk's tokens.
  at::Tensor run(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& a,
                 const at::Tensor& u, const Chunk& chunk) {
    at::Tensor da = bias_head_backward(dy, a, heads_.up_bias, of_chunk_).to(wide_);
    const at::Tensor du = up_backward(dy, a, u, da).mul_(u.gt(0));
    da.add_(bias_head_backward(du, a, heads_.down_bias, of_chunk_));
    at::Tensor dx = down_backward(du, a, x, da);
    add_repeated_rows(da, chunk.group, dcode_);
    of_chunk_ = GradientSum::kContinue;
    return dx;
  }

  at::Tensor finish() {
    const std::int64_t rank = heads_.rank();
    const std::int64_t features = heads_.hidden_size();
    const at::Tensor dup = dup_.view({rank, -1, features}).permute({0, 2, 1});
    at::Tensor gradient = heads_.up.weight_gradient.view({rank, features, -1});
    if (of_chunk_ == GradientSum::kBegin) {  // there was none
      for (GeneratorHead* head : {&heads_.down, &heads_.up, &heads_.down_bias, &heads_.up_bias}) {
        begin_with_zeros(*head);
      }
    } else {
      of_step_ == GradientSum::kBegin ? gradient.copy_(dup) : gradient.add_(dup);
    }
    return dcode_;
  }

 private:
  at::Tensor up_backward(const at::Tensor& dy, const at::Tensor& a, const at::Tensor& u,
                         at::Tensor& da) {
    const std::int64_t n = u.size(0);
    add_product_gradient(outer_product(u, a).view({n, -1}), dy, dup_, GradientSum::kContinue);
    add_product_gradient(u, dy, heads_.up.bias_gradient.view(matrices_.up_base.sizes()), of_chunk_);
    const at::Tensor douter = at::mm(dy, matrices_.up.t()).view({n, u.size(1), -1});
    da.add_(contract_units(u, douter));
    return contract_code(douter, a).add_(at::mm(dy, matrices_.up_base.t()));
  }

  at::Tensor down_backward(const at::Tensor& du, const at::Tensor& a, const at::Tensor& x,
                           at::Tensor& da) {
    const std::int64_t n = du.size(0);
    da.add_(contract_units(du, at::mm(x, matrices_.down).view({n, du.size(1), -1})));
    const at::Tensor dmiddle = outer_product(du, a).view({n, -1});
    add_product_gradient(x, dmiddle, heads_.down.weight_gradient.view(matrices_.down.sizes()),
                         of_chunk_);
    add_product_gradient(x, du, heads_.down.bias_gradient.view(matrices_.down_base.sizes()),
                         of_chunk_);
    return at::mm(dmiddle, matrices_.down.t()).addmm_(du, matrices_.down_base.t());
  }

  AdapterHeads& heads_;
  GradientSum of_step_;   ///< how the heads' gradients were to be given,
  GradientSum of_chunk_;  ///< and how by the next chunk
  HeadMatrices matrices_;
  at::ScalarType wide_;
  at::Tensor dup_;  ///< [r h, D]
  at::Tensor dcode_;
};

Work forward_work(const at::Tensor& x, const TokenGroups& groups, const at::Tensor& code,
                  const AdapterHeads& heads) {
  const auto tokens = static_cast<std::int64_t>(groups.token.size());
  return {2 * product_flops(tokens, heads.rank() * code.size(1), x.size(1)),
          2 * bytes_of(x) + bytes_of(heads.down.weight, heads.up.weight)};
}

}  // namespace

AdapterForward factorised_adapter_forward(const at::Tensor& x, const TokenGroups& groups,
                                          const at::Tensor& code, const AdapterHeads& heads) {
  const Operation operation("factorised adapter", forward_work(x, groups, code, heads));
  const HeadMatrices matrices(heads);
  at::Tensor y = at::zeros(x.sizes(), x.options());
  at::Tensor hidden =
      at::empty({static_cast<std::int64_t>(groups.token.size()), heads.rank()}, x.options());
  for (const Chunk& chunk : chunks_of(groups, bytes_per_token(code, heads))) {
    const at::Tensor in = gather_rows(x, chunk.token);
    const at::Tensor a = gather_rows(code, chunk.group);
    const at::Tensor middle = at::mm(in, matrices.down).view({chunk.size(), heads.rank(), -1});
    at::Tensor u = at::addmm(heads.down_bias.bias, a, heads.down_bias.weight.t());
    u.addmm_(in, matrices.down_base).add_(contract_code(middle, a)).relu_();
    at::Tensor out = at::addmm(heads.up_bias.bias, a, heads.up_bias.weight.t());
    out.addmm_(u, matrices.up_base)
        .addmm_(outer_product(u, a).view({chunk.size(), -1}), matrices.up);
    put_rows(out, chunk.token, y);
    hidden.narrow(0, chunk.begin, chunk.size()).copy_(u);
  }
  return {y, hidden};
}

FactorisedBackward factorised_adapter_backward(const at::Tensor& dy, const at::Tensor& x,
                                               const TokenGroups& groups, const at::Tensor& code,
                                               const at::Tensor& hidden, AdapterHeads& heads,
                                               GradientSum sum) {
  const Work forward = forward_work(x, groups, code, heads);
  const Operation operation("factorised adapter", {2 * forward.flops, 2 * forward.bytes});
  Backward backward(code, heads, sum);
  at::Tensor dx = at::zeros(x.sizes(), x.options());
  for (const Chunk& chunk : chunks_of(groups, bytes_per_token(code, heads))) {
    put_rows(backward.run(gather_rows(dy, chunk.token), gather_rows(x, chunk.token),
                          gather_rows(code, chunk.group),
                          hidden.narrow(0, chunk.begin, chunk.size()), chunk),
             chunk.token, dx);
  }
  return {dx, backward.finish()};
}

}  // namespace hetmoe
