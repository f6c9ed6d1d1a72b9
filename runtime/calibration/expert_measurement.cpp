#include "runtime/calibration/expert_measurement.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "core/kernels/expert_kernels.h"
#include "runtime/calibration/random_tensor.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kMostSlices = 8;
constexpr std::int64_t kMostLayers = 4;
constexpr std::int64_t kSelectedPerToken = 2;
constexpr double kFlopsOfOneRun = 4e9;
constexpr double kBytesOfOneRun = 128 << 20;  // more than caches hold; memory must be filled first

/// The part of one run that a slice may fill: by its work, or by its weights and gradients.
double part_of_run(std::int64_t hidden_size, std::int64_t rows, std::int64_t width) {
  const auto products = 3.0 * static_cast<double>(hidden_size * width);
  return std::max(6.0 * products * static_cast<double>(rows) / kFlopsOfOneRun,
                  8.0 * products / kBytesOfOneRun);
}

/// How many pieces fit into one run, from one up to `most`.
std::int64_t pieces_in_one_run(double part, std::int64_t most) {
  return std::clamp(static_cast<std::int64_t>(1.0 / part), std::int64_t{1}, most);
}

/// A layer's slices of one width, each with equally many rows.
class EqualSlices {
 public:
  EqualSlices(at::ScalarType type, std::int64_t hidden_size, std::int64_t rows, std::int64_t width,
              std::int64_t count) {
    const std::int64_t step = std::max<std::int64_t>(1, count / kSelectedPerToken);
    for (std::int64_t slice = 0; slice < count; ++slice) {
      add_slice(type, hidden_size, width);
      SliceRows& list = rows_.emplace_back();
      for (std::int64_t i = 0; i < rows; ++i) {
        list.row.push_back(i * step + slice % step);
        list.selection.push_back(slice * rows + i);
      }
    }
    gates_.assign(static_cast<std::size_t>(count * rows), 1.0 / kSelectedPerToken);
    x_ = random_tensor({rows * step, hidden_size}, 1.0, type);
    dy_ = random_tensor({rows * step, hidden_size}, 1e-3, type);
  }

  void forward(ExpertKernels& kernels) { saved_ = kernels.forward(x_, slices_, rows_, gates_); }
  void backward(ExpertKernels& kernels) {
    kernels.backward(dy_, slices_, *saved_.context);
    saved_ = {};
  }

 private:
  void add_slice(at::ScalarType type, std::int64_t hidden_size, std::int64_t width) {
    const auto fp32 = at::TensorOptions(at::kFloat);
    slices_.push_back({.gate_up = random_tensor({2 * width, hidden_size}, 0.02, type),
                       .down = random_tensor({width, hidden_size}, 0.02, type),
                       .gate_up_gradient = at::zeros({2 * width, hidden_size}, fp32),
                       .down_gradient = at::zeros({width, hidden_size}, fp32)});
  }

  std::vector<SliceWeights> slices_;
  std::vector<SliceRows> rows_;
  std::vector<double> gates_;
  at::Tensor x_, dy_;
  ExpertForward saved_;
};

/// Layers of equal slices: forward through all, then backward through all.
class EqualLayers {
 public:
  EqualLayers(at::ScalarType type, std::int64_t hidden_size, std::int64_t rows, std::int64_t width)
      : kernels_(make_expert_kernels(type, hidden_size)) {
    const double part = part_of_run(hidden_size, rows, width);
    const std::int64_t count = pieces_in_one_run(part, kMostSlices);
    const std::int64_t layers = pieces_in_one_run(part * static_cast<double>(count), kMostLayers);
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      layers_.emplace_back(type, hidden_size, rows, width, count);
    }
    slices_ = static_cast<double>(count * layers);
  }

  /// Seconds of forward and backward of all slices.
  std::vector<double> run(const Measurement& measurement) {
    const double forward = measurement.seconds_of([&] {
      for (EqualSlices& layer : layers_) layer.forward(*kernels_);
    });
    const double backward = measurement.seconds_of([&] {
      for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
        layer->backward(*kernels_);
      }
    });
    return {forward, backward};
  }

  double slices() const { return slices_; }

 private:
  std::unique_ptr<ExpertKernels> kernels_;
  std::vector<EqualSlices> layers_;
  double slices_ = 0;
};

}  // namespace

ExpertProducts measure_expert_products(Measurement& measurement, const CalibrationPlan& plan,
                                       at::ScalarType type, double seconds_per_point) {
  ExpertProducts products{.hidden_sizes = plan.hidden_sizes,
                          .rows = plan.rows,
                          .widths = plan.widths,
                          .forward_seconds = {},
                          .backward_seconds = {}};
  for (const std::int64_t hidden_size : plan.hidden_sizes) {
    for (const std::int64_t rows : plan.rows) {
      for (const std::int64_t width : plan.widths) {
        EqualLayers layers(type, hidden_size, rows, width);
        const auto seconds =
            measurement.medians(seconds_per_point, [&] { return layers.run(measurement); });
        products.forward_seconds.push_back(seconds[0] / layers.slices());
        products.backward_seconds.push_back(seconds[1] / layers.slices());
      }
    }
  }
  return products;
}

}  // namespace hetmoe
