#include "runtime/calibration/dense_measurement.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "core/kernels/cross_entropy.h"
#include "core/kernels/linear.h"
#include "runtime/calibration/attention_pass.h"
#include "runtime/calibration/model_shape.h"
#include "runtime/calibration/random_tensor.h"

namespace hetmoe {
namespace {

/// A matrix of the decoder with its gradient, and one call's input and output gradient.
class Projection {
 public:
  Projection(const at::TensorOptions& place, std::int64_t tokens, std::int64_t in, std::int64_t out)
      : x_(random_tensor({tokens, in}, 1.0, place)),
        dy_(random_tensor({tokens, out}, 1e-3, place)),
        weight_(random_tensor({out, in}, 0.02, place)),
        gradient_(at::zeros({out, in}, place.dtype(at::kFloat))) {}

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

/// Pieces of work one after another, as the layers of a decoder come: forward through all, then
/// backward through all. Alone, a layer would find in its caches what it left there.
template <typename Piece>
std::vector<double> seconds_of_one(Measurement& measurement, double seconds_per_point,
                                   std::vector<Piece>& pieces) {
  const auto forward = [&] {
    for (Piece& piece : pieces) piece.forward();
  };
  const auto backward = [&] {
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) piece->backward();
  };
  std::vector<double> seconds = measurement.medians_of(seconds_per_point, {forward, backward});
  for (double& value : seconds) value /= static_cast<double>(pieces.size());
  return seconds;
}

/// An attention's two projections.
struct Projections {
  Projection in, out;

  void forward() {
    in.forward();
    out.forward();
  }
  void backward() {
    out.backward();
    in.backward();
  }
};

void add_point(RateCurve& curve, std::int64_t size, double forward_flops,
               const std::vector<double>& seconds) {
  curve.sizes.push_back(size);
  curve.forward_flops_per_second.push_back(forward_flops / seconds[0]);
  curve.backward_flops_per_second.push_back(2.0 * forward_flops / seconds[1]);
}

}  // namespace

RateCurve measure_dense_products(Measurement& measurement, const CalibrationPlan& plan,
                                 const at::TensorOptions& place, double seconds_per_point) {
  RateCurve curve;
  for (const std::int64_t hidden_size : plan.hidden_sizes) {
    const AttentionShape shape = attention_shape(plan, hidden_size, plan.tokens);
    std::vector<Projections> layers;
    for (int layer = 0; layer < kLayersOfDenseRun; ++layer) {
      layers.push_back({.in = {place, plan.tokens, hidden_size, shape.row_width()},
                        .out = {place, plan.tokens, shape.output_width(), hidden_size}});
    }
    const auto seconds = seconds_of_one(measurement, seconds_per_point, layers);
    const Projections& one = layers.front();
    add_point(curve, hidden_size, one.in.forward_flops() + one.out.forward_flops(), seconds);
  }
  return curve;
}

RateCurve measure_attention(Measurement& measurement, const CalibrationPlan& plan,
                            const at::TensorOptions& place, double seconds_per_point) {
  RateCurve curve;
  for (const std::int64_t length : plan.lengths) {
    AttentionShape shape = attention_shape(plan, plan.hidden_sizes.front(), length);
    shape.sequences = std::max<std::int64_t>(1, plan.tokens / length);
    const std::int64_t tokens = shape.sequences * length;
    std::vector<AttentionPass> layers;
    for (int layer = 0; layer < kLayersOfDenseRun; ++layer) layers.emplace_back(place, shape);
    const auto seconds = seconds_of_one(measurement, seconds_per_point, layers);
    add_point(curve, length, 2.0 * static_cast<double>(tokens * length * shape.output_width()),
              seconds);
  }
  return curve;
}

RateCurve measure_output_head(Measurement& measurement, const CalibrationPlan& plan,
                              const at::TensorOptions& place, double seconds_per_point) {
  RateCurve curve;
  const std::int64_t vocabulary = plan.model.vocab_size;
  std::vector<std::int32_t> targets(static_cast<std::size_t>(plan.tokens));
  for (std::size_t i = 0; i < targets.size(); ++i) {
    targets[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) % vocabulary);
  }
  for (const std::int64_t hidden_size : plan.hidden_sizes) {
    const at::Tensor x = random_tensor({plan.tokens, hidden_size}, 1.0, place);
    const at::Tensor head = random_tensor({vocabulary, hidden_size}, 0.02, place);
    at::Tensor gradient = at::zeros({vocabulary, hidden_size}, place.dtype(at::kFloat));
    const auto evaluation = [&] { cross_entropy(x, head, targets); };
    const auto training = [&] {
      cross_entropy_with_gradient(x, head, targets, 1.0 / static_cast<double>(plan.tokens),
                                  gradient);
    };
    const auto seconds = measurement.medians_of(seconds_per_point, {evaluation, training});
    const double flops = 2.0 * static_cast<double>(plan.tokens * vocabulary * hidden_size);
    // Noise must not make the backward part vanish.
    const double backward = std::max(seconds[1] - seconds[0], 0.1 * seconds[1]);
    add_point(curve, hidden_size, flops, {seconds[0], backward});
  }
  return curve;
}

std::function<void()> layer_products(const at::TensorOptions& place, std::int64_t hidden_size,
                                     const AttentionShape& shape) {
  const std::int64_t tokens = shape.sequences * shape.length;
  Projection in(place, tokens, hidden_size, shape.row_width());
  Projection out(place, tokens, shape.output_width(), hidden_size);
  AttentionPass attention(place, shape);
  return [=]() mutable {
    in.forward();
    attention.forward();
    out.forward();
    out.backward();
    attention.backward();
    in.backward();
  };
}

}  // namespace hetmoe
