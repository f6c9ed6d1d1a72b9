#include "runtime/calibration/dense_measurement.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "core/kernels/attention.h"
#include "core/kernels/cross_entropy.h"
#include "core/kernels/linear.h"
#include "runtime/calibration/model_shape.h"
#include "runtime/calibration/random_tensor.h"

namespace hetmoe {
namespace {

/// A matrix of the decoder with its gradient, and one call's input and output gradient.
class Projection {
 public:
  Projection(at::ScalarType type, std::int64_t tokens, std::int64_t in, std::int64_t out)
      : x_(random_tensor({tokens, in}, 1.0, type)),
        dy_(random_tensor({tokens, out}, 1e-3, type)),
        weight_(random_tensor({out, in}, 0.02, type)),
        gradient_(at::zeros({out, in}, at::TensorOptions(at::kFloat))) {}

  void forward() { linear_forward(x_, weight_); }
  void backward() {
    add_weight_gradient(dy_, x_, gradient_);
    linear_input_gradient(dy_, weight_);
  }
  double forward_flops() const {
    return 2.0 * static_cast<double>(x_.size(0)) * static_cast<double>(weight_.numel());
  }

 private:
  at::Tensor x_, dy_, weight_, gradient_;
};

void add_point(RateCurve& curve, std::int64_t size, double forward_flops,
               const std::vector<double>& seconds) {
  curve.sizes.push_back(size);
  curve.forward_flops_per_second.push_back(forward_flops / seconds[0]);
  curve.backward_flops_per_second.push_back(2.0 * forward_flops / seconds[1]);
}

}  // namespace

double measure_peak(Measurement& measurement, at::ScalarType type, double seconds) {
  const at::Tensor a = random_tensor({2048, 1024}, 1.0, type);
  const at::Tensor b = random_tensor({1024, 2048}, 1.0, type);
  at::Tensor out = at::mm(a, b);
  return 2.0 * 2048 * 1024 * 2048 / measurement.median(seconds, [&] { at::mm_out(out, a, b); });
}

RateCurve measure_dense_products(Measurement& measurement, const CalibrationPlan& plan,
                                 at::ScalarType type, double seconds_per_point) {
  RateCurve curve;
  for (const std::int64_t hidden_size : plan.hidden_sizes) {
    const AttentionShape shape = attention_shape(plan, hidden_size, plan.tokens);
    Projection in(type, plan.tokens, hidden_size, shape.row_width());
    Projection out(type, plan.tokens, shape.output_width(), hidden_size);
    const auto seconds = measurement.medians(seconds_per_point, [&] {
      return std::vector<double>{measurement.seconds_of([&] {
                                   in.forward();
                                   out.forward();
                                 }),
                                 measurement.seconds_of([&] {
                                   out.backward();
                                   in.backward();
                                 })};
    });
    add_point(curve, hidden_size, in.forward_flops() + out.forward_flops(), seconds);
  }
  return curve;
}

RateCurve measure_attention(Measurement& measurement, const CalibrationPlan& plan,
                            at::ScalarType type, double seconds_per_point) {
  RateCurve curve;
  for (const std::int64_t length : plan.lengths) {
    AttentionShape shape = attention_shape(plan, plan.hidden_sizes.front(), length);
    shape.sequences = std::max<std::int64_t>(1, plan.tokens / length);
    const std::int64_t tokens = shape.sequences * length;
    const at::Tensor qkv = random_tensor({tokens, shape.row_width()}, 1.0, type);
    const at::Tensor dy = random_tensor({tokens, shape.output_width()}, 1e-3, type);
    const std::vector<std::int32_t> document_begin(static_cast<std::size_t>(tokens), 0);
    const auto seconds = measurement.medians(seconds_per_point, [&] {
      AttentionResult saved;
      const double forward =
          measurement.seconds_of([&] { saved = attention_forward(qkv, shape, document_begin); });
      const double backward =
          measurement.seconds_of([&] { attention_backward(dy, saved, shape, document_begin); });
      return std::vector<double>{forward, backward};
    });
    add_point(curve, length, 2.0 * static_cast<double>(tokens * length * shape.output_width()),
              seconds);
  }
  return curve;
}

RateCurve measure_output_head(Measurement& measurement, const CalibrationPlan& plan,
                              at::ScalarType type, double seconds_per_point) {
  RateCurve curve;
  const std::int64_t vocabulary = plan.model.vocab_size;
  std::vector<std::int32_t> targets(static_cast<std::size_t>(plan.tokens));
  for (std::size_t i = 0; i < targets.size(); ++i) {
    targets[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) % vocabulary);
  }
  for (const std::int64_t hidden_size : plan.hidden_sizes) {
    const at::Tensor x = random_tensor({plan.tokens, hidden_size}, 1.0, type);
    const at::Tensor head = random_tensor({vocabulary, hidden_size}, 0.02, type);
    at::Tensor gradient = at::zeros({vocabulary, hidden_size}, at::TensorOptions(at::kFloat));
    const auto seconds = measurement.medians(seconds_per_point, [&] {
      const double forward = measurement.seconds_of([&] { cross_entropy(x, head, targets); });
      const double training = measurement.seconds_of([&] {
        cross_entropy_with_gradient(x, head, targets, 1.0 / static_cast<double>(plan.tokens),
                                    gradient);
      });
      return std::vector<double>{forward, training};
    });
    const double flops = 2.0 * static_cast<double>(plan.tokens * vocabulary * hidden_size);
    // Noise must not make the backward part vanish.
    const double backward = std::max(seconds[1] - seconds[0], 0.1 * seconds[1]);
    add_point(curve, hidden_size, flops, {seconds[0], backward});
  }
  return curve;
}

std::function<void()> layer_products(at::ScalarType type, std::int64_t hidden_size,
                                     const AttentionShape& shape) {
  const std::int64_t tokens = shape.sequences * shape.length;
  Projection in(type, tokens, hidden_size, shape.row_width());
  Projection out(type, tokens, shape.output_width(), hidden_size);
  const at::Tensor qkv = random_tensor({tokens, shape.row_width()}, 1.0, type);
  const at::Tensor dy = random_tensor({tokens, shape.output_width()}, 1e-3, type);
  const std::vector<std::int32_t> document_begin(static_cast<std::size_t>(tokens), 0);
  return [=]() mutable {
    in.forward();
    const AttentionResult saved = attention_forward(qkv, shape, document_begin);
    out.forward();
    out.backward();
    attention_backward(dy, saved, shape, document_begin);
    in.backward();
  };
}

}  // namespace hetmoe
