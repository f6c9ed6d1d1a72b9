#include "runtime/calibration/expert_measurement.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "runtime/calibration/equal_slices.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kMostSlices = 8;
constexpr std::int64_t kMostLayers = 4;
// A run's bytes are more than caches hold near a core: in a step other layers come in between.
// Where that is much work, fewer.
constexpr double kFlopsOfOneRun = 32e9;
constexpr double kBytesOfOneRun = 128 << 20;

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

/// Layers of equal slices: forward through all, then backward through all.
class EqualLayers {
 public:
  EqualLayers(const at::TensorOptions& place, std::int64_t hidden_size, std::int64_t rows,
              std::int64_t width, const gpu::ProductTable& products) {
    const double part = part_of_run(hidden_size, rows, width);
    const std::int64_t count = pieces_in_one_run(part, kMostSlices);
    const std::int64_t layers = pieces_in_one_run(part * static_cast<double>(count), kMostLayers);
    layers_ = make_equal_layers(
        place, {.hidden_size = hidden_size, .rows = rows, .width = width, .count = count}, layers,
        products);
    slices_ = static_cast<double>(count * layers);
  }

  void forward() {
    for (const auto& layer : layers_) layer->forward();
  }
  void backward() {
    for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) (*layer)->backward();
  }
  double slices() const { return slices_; }

 private:
  std::vector<std::unique_ptr<EqualSlices>> layers_;
  double slices_ = 0;
};

}  // namespace

ExpertProducts measure_expert_products(Measurement& measurement, const CalibrationPlan& plan,
                                       const at::TensorOptions& place, double seconds_per_point) {
  ExpertProducts products{.hidden_sizes = plan.hidden_sizes,
                          .rows = plan.rows,
                          .widths = plan.widths,
                          .forward_seconds = {},
                          .backward_seconds = {}};
  for (const std::int64_t hidden_size : plan.hidden_sizes) {
    for (const std::int64_t rows : plan.rows) {
      for (const std::int64_t width : plan.widths) {
        EqualLayers layers(place, hidden_size, rows, width, plan.products);
        const auto seconds = measurement.medians_of(
            seconds_per_point, {[&] { layers.forward(); }, [&] { layers.backward(); }});
        products.forward_seconds.push_back(seconds[0] / layers.slices());
        products.backward_seconds.push_back(seconds[1] / layers.slices());
      }
    }
  }
  return products;
}

}  // namespace hetmoe
