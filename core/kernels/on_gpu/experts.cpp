#include "core/kernels/on_gpu/experts.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/gpu/swiglu.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/kernels/on_gpu/products.h"
#include "core/kernels/on_gpu/rows.h"
#include "core/kernels/tensor_work.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {
namespace {

using gpu::Form;
using gpu::SliceSpan;

std::vector<SliceSpan> spans_of(std::span<const SliceWeights> slices, const SlicePlaces& places) {
  HETMOE_CHECK(places.of_slice.size() == slices.size(), places.of_slice.size(), " counts for ",
               slices.size(), " slices");
  std::vector<SliceSpan> spans;
  SliceSpan next;
  for (std::size_t s = 0; s < slices.size(); ++s) {
    next.selections = places.of_slice[s];
    next.width = slices[s].width();
    spans.push_back(next);
    next.selection_begin += next.selections;
    next.hidden_begin += next.selections * next.width;
  }
  HETMOE_CHECK(next.selection_begin == places.row.size(0), next.selection_begin, " of ",
               places.row.size(0), " places have a slice");
  return spans;
}

std::int64_t hidden_elements(std::span<const SliceSpan> spans) {
  return spans.empty() ? 0
                       : spans.back().hidden_begin + spans.back().selections * spans.back().width;
}

/// What the products of one slice read and write.
template <typename T>
struct SliceParts {
  SliceSpan span;
  const SliceWeights& weights;
  std::int64_t features;

  Part rows(const at::Tensor& by_place) const {
    return part_at(by_place, span.selection_begin * features, features);
  }
  Part gate_up(const at::Tensor& flat) const {
    return part_at(flat, 2 * span.hidden_begin, 2 * span.width);
  }
  Part hidden(const at::Tensor& flat) const { return part_at(flat, span.hidden_begin, span.width); }
  Part weight(const at::Tensor& matrix) const { return {data<T>(matrix), features}; }
  Part gradient(const at::Tensor& matrix) const { return {data<float>(matrix), features}; }
};

template <typename T, typename Body>
std::vector<gpu::Product> per_slice(std::span<const SliceSpan> spans,
                                    std::span<const SliceWeights> slices, std::int64_t features,
                                    Body body) {
  std::vector<gpu::Product> products;
  products.reserve(spans.size());
  for (std::size_t s = 0; s < spans.size(); ++s) {
    products.push_back(body(SliceParts<T>{spans[s], slices[s], features}));
  }
  return products;
}

/// Those that have something to give: a product of no depth would have to write zeros.
std::vector<gpu::Product> with_depth(std::vector<gpu::Product> products) {
  std::erase_if(products, [](const gpu::Product& product) { return product.depth == 0; });
  return products;
}

template <typename T>
gpu::SwigluRows<T> swiglu_rows(const ExpertsContext& context, std::span<const SliceSpan> spans) {
  constexpr auto kPack = static_cast<std::int64_t>(16 / sizeof(T));
  return {.slices = reinterpret_cast<const SliceSpan*>(data<std::uint8_t>(context.slices)),
          .num_slices = static_cast<std::int64_t>(spans.size()),
          .gate = data<float>(context.places.gate),
          .selections = context.places.row.size(0),
          .packs = std::ranges::all_of(
              spans, [](const SliceSpan& span) { return span.width % kPack == 0; })};
}

/// Whether the next products add to the gradients of slices that have places. All go in one call:
/// where some continue, the others begin with zeros, which is after a microbatch without tokens.
bool continue_sums(std::span<SliceWeights> slices, std::span<const SliceSpan> spans) {
  bool adds = false;
  for (std::size_t s = 0; s < spans.size(); ++s) {
    adds = adds || (spans[s].selections > 0 && slices[s].sum == GradientSum::kContinue);
  }
  for (std::size_t s = 0; s < spans.size(); ++s) {
    if (spans[s].selections == 0) continue;
    if (std::exchange(slices[s].sum, GradientSum::kContinue) == GradientSum::kBegin && adds) {
      slices[s].gate_up_gradient.zero_();
      slices[s].down_gradient.zero_();
    }
  }
  return adds;
}

}  // namespace

Experts::Experts(std::unique_ptr<gpu::GroupedProducts> products, GateUpProducts gate_up)
    : products_(std::move(products)), keeps_gate_up_(gate_up == GateUpProducts::kKept) {}

void Experts::run(gpu::ProductKind kind, std::span<const gpu::Product> products) {
  products_->run(kind, products, compute_stream());
}

/// x Wgu^T, slice after slice [n, 2 w].
at::Tensor Experts::gate_up_of(std::span<const SliceWeights> slices,
                               const ExpertsContext& context) {
  const std::int64_t features = context.in.size(1);
  const gpu::Number number = number_of(context.in);
  at::Tensor gate_up = at::empty({2 * hidden_elements(context.spans)}, context.in.options());
  with_element(context.in, [&](auto element) {
    using T = decltype(element);
    run({.form = Form::kABt, .in = number, .out = number},
        per_slice<T>(context.spans, slices, features, [&](const SliceParts<T>& s) {
          return product(s.rows(context.in), s.weight(s.weights.gate_up), s.gate_up(gate_up),
                         s.span.selections, 2 * s.span.width, features);
        }));
  });
  return gate_up;
}

at::Tensor Experts::forward(const at::Tensor& x, std::span<const SliceWeights> slices,
                            SlicePlaces places, ExpertsContext& context) {
  context.spans = spans_of(slices, places);
  const std::span<const SliceSpan> spans = context.spans;
  const std::int64_t features = x.size(1);
  const gpu::Number number = number_of(x);
  context.places = std::move(places);
  context.slices = uploaded(std::as_bytes(spans), at::kByte);
  context.in = gather_rows(x, context.places.row);
  const at::Tensor gate_up = gate_up_of(slices, context);
  if (keeps_gate_up_) context.gate_up = gate_up;
  at::Tensor hidden = at::empty({hidden_elements(spans)}, x.options());
  at::Tensor out = at::empty_like(context.in);
  with_element(x, [&](auto element) {
    using T = decltype(element);
    gpu::swiglu_forward<T>(swiglu_rows<T>(context, spans), data<T>(gate_up),
                           mutable_data<T>(hidden), compute_stream());
    run({.form = Form::kAB, .in = number, .out = number},
        per_slice<T>(spans, slices, features, [&](const SliceParts<T>& s) {
          return product(s.hidden(hidden), s.weight(s.weights.down), s.rows(out), s.span.selections,
                         features, s.span.width);
        }));
  });
  return sum_rows(out, context.places.of_row);
}

at::Tensor Experts::gate_up_again(std::span<const SliceWeights> slices,
                                  const ExpertsContext& context) {
  double flops = 0;
  for (const SliceSpan& span : context.spans) {
    flops += product_flops(span.selections, 2 * span.width, context.in.size(1));
  }
  const Operation recomputation(kRecomputation, {});
  const Operation operation("gate and up", {.flops = flops});
  return gate_up_of(slices, context);
}

ExpertsGradient Experts::backward(const at::Tensor& dy, std::span<SliceWeights> slices,
                                  ExpertsContext& context) {
  const std::span<const SliceSpan> spans = context.spans;
  HETMOE_CHECK(spans.size() == slices.size(), spans.size(), " slices in forward, ", slices.size(),
               " in backward");
  const std::int64_t features = dy.size(1);
  const gpu::Number number = number_of(dy);
  const bool adds = continue_sums(slices, spans);
  at::Tensor gate_up = keeps_gate_up_ ? std::move(context.gate_up) : gate_up_again(slices, context);
  at::Tensor dout = gather_rows(dy, context.places.row);
  at::Tensor dhidden = at::empty({hidden_elements(spans)}, dy.options());
  at::Tensor dgate = at::empty_like(context.places.gate);
  with_element(dy, [&](auto element) {
    using T = decltype(element);
    run({.form = Form::kABt, .in = number, .out = number},
        per_slice<T>(spans, slices, features, [&](const SliceParts<T>& s) {
          return product(s.rows(dout), s.weight(s.weights.down), s.hidden(dhidden),
                         s.span.selections, s.span.width, features);
        }));
    gpu::swiglu_backward<T>(swiglu_rows<T>(context, spans), mutable_data<T>(gate_up),
                            mutable_data<T>(dhidden), mutable_data<float>(dgate), compute_stream());
    const gpu::ProductKind weight_gradient{
        .form = Form::kAtB, .in = number, .out = gpu::Number::kFloat32, .adds = adds};
    run(weight_gradient,
        with_depth(per_slice<T>(spans, slices, features, [&](const SliceParts<T>& s) {
          return product(s.hidden(dhidden), s.rows(dout), s.gradient(s.weights.down_gradient),
                         s.span.width, features, s.span.selections);
        })));
    run(weight_gradient,
        with_depth(per_slice<T>(spans, slices, features, [&](const SliceParts<T>& s) {
          return product(s.gate_up(gate_up), s.rows(context.in),
                         s.gradient(s.weights.gate_up_gradient), 2 * s.span.width, features,
                         s.span.selections);
        })));
    // dout has been read by all: its memory takes the gradient of x by place.
    run({.form = Form::kAB, .in = number, .out = number},
        per_slice<T>(spans, slices, features, [&](const SliceParts<T>& s) {
          return product(s.gate_up(gate_up), s.weight(s.weights.gate_up), s.rows(dout),
                         s.span.selections, features, 2 * s.span.width);
        }));
  });
  return {sum_rows(dout, context.places.of_row), std::move(dgate)};
}

}  // namespace hetmoe::on_gpu
