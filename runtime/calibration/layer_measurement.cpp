#include "runtime/calibration/layer_measurement.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/model/decoder.h"
#include "core/model/gpu_mixture.h"
#include "core/model/host_moe_layer.h"
#include "core/model/local_token_dispatcher.h"
#include "runtime/calibration/dense_measurement.h"
#include "runtime/calibration/model_shape.h"
#include "runtime/calibration/random_tensor.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kVocabulary = 32;   // so that the output head hardly counts
constexpr std::int64_t kExpertWidth = 32;  // so that products leave the rest visible
constexpr double kLeastRemainder = 0.01;   // of the measured time: noise must not eat it all

void fill(at::Tensor& values) {
  values.copy_(random_tensor({values.numel()}, 0.02, values.options()));
}

std::vector<Slice> all_slices(const ModelConfig& model) {
  const auto widths = expert_widths(model.experts);
  std::vector<Slice> slices;
  for (int layer = 0; layer < model.num_layers; ++layer) {
    for (int expert = 0; expert < model.experts.count; ++expert) {
      slices.push_back({layer, expert, 0, widths[expert]});
    }
  }
  return slices;
}

std::unique_ptr<Mixture> make_mixture(const ModelConfig& model, const at::TensorOptions& place,
                                      const gpu::ProductTable& products) {
  if (!place.device().is_cpu()) {
    return make_gpu_mixture(make_local_gpu_token_dispatcher(all_slices(model)), products);
  }
  return std::make_unique<HostMixture>(
      make_expert_kernels(c10::typeMetaToScalarType(place.dtype()), model.hidden_size),
      make_local_token_dispatcher(all_slices(model)));
}

/// A decoder that one rank trains by itself.
class SmallDecoder {
 public:
  SmallDecoder(const ModelConfig& model, std::int64_t sequences, std::int64_t length,
               const at::TensorOptions& place, const gpu::ProductTable& products,
               const Clock& clock)
      : model_(model),
        length_(length),
        inputs_(static_cast<std::size_t>(sequences * length)),
        document_begin_(inputs_.size(), 0),
        statistics_(model.num_layers, model.experts.count),
        parameters_(model, all_slices(model), c10::typeMetaToScalarType(place.dtype()),
                    GradientMemory::kHeld, place.device()),
        mixture_(make_mixture(model, place, products)),
        decoder_(model, {parameters_, *mixture_, gate_, listener_}),
        phases_(place.device().is_cpu() ? make_host_work_clock(clock) : make_gpu_work_clock()) {
    fill(parameters_.dense_values());
    for (int layer = 0; layer < model.num_layers; ++layer) fill(parameters_.slice_values(layer));
    for (const TensorSpec& spec : parameters_.dense_specs()) {
      if (!spec.is_matrix) at::Tensor(parameters_.dense(spec.name).value).fill_(1);
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      inputs_[i] = static_cast<std::int32_t>(i * 7 % kVocabulary);
    }
  }

  void train() {
    statistics_.clear();
    const auto tokens = static_cast<std::int64_t>(inputs_.size());
    PassState pass{.microbatch = {.sequences = tokens / length_,
                                  .length = length_,
                                  .inputs = inputs_,
                                  .targets = inputs_,
                                  .document_begin = document_begin_,
                                  .global_tokens = tokens},
                   .statistics = &statistics_,
                   .phases = &phases_};
    phases_.enter(Phase::kForward);
    decoder_.forward(pass);
    phases_.enter(Phase::kBackward);
    decoder_.backward(pass);
  }

  /// Seconds inside the expert kernels, of what has been trained since the last call and has ended.
  double expert_seconds() { return phases_.take()[static_cast<std::size_t>(Phase::kExpert)]; }

 private:
  ModelConfig model_;
  std::int64_t length_;
  std::vector<std::int32_t> inputs_, document_begin_;
  RouterStatistics statistics_;
  ParameterStore parameters_;
  std::unique_ptr<Mixture> mixture_;
  OpenParameterGate gate_;
  NoGradientListener listener_;
  Decoder decoder_;
  PhaseClock phases_;
};

ModelConfig small_model(const CalibrationPlan& plan, std::int64_t hidden_size) {
  ModelConfig model = model_at(plan, hidden_size);
  model.num_layers = kLayersOfSmallDecoder;
  model.vocab_size = kVocabulary;
  model.router.forced = "none";  // a workload would need steps, and the router works all the same
  model.experts.widths.assign(static_cast<std::size_t>(model.experts.count), kExpertWidth);
  return model;
}

LayerPoint measure_point(Measurement& measurement, const CalibrationPlan& plan,
                         std::int64_t hidden_size, std::int64_t tokens,
                         const at::TensorOptions& place, const Clock& clock, double seconds) {
  AttentionShape shape = attention_shape(plan, hidden_size, std::min(tokens, plan.lengths.front()));
  shape.sequences = tokens / shape.length;
  const ModelConfig model = small_model(plan, hidden_size);
  SmallDecoder decoder(model, shape.sequences, shape.length, place, plan.products, clock);
  const auto products = layer_products(place, hidden_size, shape);
  // Taken off run by run: processors change their pace, and the rest is a small difference.
  const double remainder = measurement.medians(seconds, [&] {
    const double all = measurement.seconds_of([&] { decoder.train(); });
    const double expert = decoder.expert_seconds();
    const double of_products = measurement.seconds_of(products);
    const double of_layer = (all - expert) / kLayersOfSmallDecoder;
    const double rest = std::max(of_layer - of_products, kLeastRemainder * of_layer);
    return std::vector<double>{rest, all + of_products - rest};
  })[0];
  return {.values = static_cast<double>(shape.sequences * shape.length * hidden_size),
          .seconds = remainder};
}

}  // namespace

LayerFit fit_layers(const std::vector<LayerPoint>& points) {
  // Each residual is divided by its seconds: small layers count as much as large ones.
  double weight = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const LayerPoint& point : points) {
    const double w = 1.0 / (point.seconds * point.seconds);
    weight += w;
    x += w * point.values;
    y += w * point.seconds;
    xx += w * point.values * point.values;
    xy += w * point.values * point.seconds;
  }
  const double determinant = weight * xx - x * x;
  const bool one_size = determinant <= 1e-12 * weight * xx;
  const LayerFit through_origin{0, xy / xx};
  if (one_size) return through_origin;
  const LayerFit line{(y * xx - x * xy) / determinant, (weight * xy - x * y) / determinant};
  if (line.seconds < 0) return through_origin;
  if (line.seconds_per_value < 0) return {y / weight, 0};
  return line;
}

void measure_layers(Measurement& measurement, const CalibrationPlan& plan,
                    const at::TensorOptions& place, const Clock& clock, double seconds_per_point,
                    Cluster& cluster) {
  std::vector<LayerPoint> points;
  const std::size_t hidden_sizes = std::min<std::size_t>(2, plan.hidden_sizes.size());
  for (std::size_t i = 0; i < hidden_sizes; ++i) {
    for (const std::int64_t tokens : {plan.few_tokens, plan.tokens}) {
      points.push_back(measure_point(measurement, plan, plan.hidden_sizes[i], tokens, place, clock,
                                     seconds_per_point));
    }
  }
  const LayerFit fit = fit_layers(points);
  cluster.layer_seconds = fit.seconds;
  cluster.layer_seconds_per_value = fit.seconds_per_value;
}

}  // namespace hetmoe
