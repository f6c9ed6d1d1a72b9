#include "core/kernels/gpu/swiglu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "core/kernels/gpu/swiglu_arithmetic.h"
#include "tests/unit/gpu/device_array.h"
#include "tests/unit/gpu/elements.h"

namespace hetmoe::test {
namespace {

/// Slices of these widths with these numbers of selections.
struct Shape {
  std::vector<std::int64_t> widths;
  std::vector<std::int64_t> selections;
};

template <typename T>
class Swiglu {
 public:
  explicit Swiglu(const Shape& shape) {
    std::mt19937 random(11);
    std::normal_distribution<double> normal;
    std::int64_t selection = 0;
    std::int64_t hidden = 0;
    for (std::size_t s = 0; s < shape.widths.size(); ++s) {
      slices_.push_back({selection, shape.selections[s], shape.widths[s], hidden});
      selection += shape.selections[s];
      hidden += shape.selections[s] * shape.widths[s];
      slice_of_.insert(slice_of_.end(), static_cast<std::size_t>(shape.selections[s]),
                       static_cast<std::int32_t>(s));
      packs_ = packs_ && shape.widths[s] % (16 / static_cast<std::int64_t>(sizeof(T))) == 0;
    }
    for (std::int64_t i = 0; i < selection; ++i)
      gate_.push_back(static_cast<float>(normal(random)));
    for (std::int64_t i = 0; i < 2 * hidden; ++i)
      gate_up_.push_back(element<T>(2 * normal(random)));
    for (std::int64_t i = 0; i < hidden; ++i) dhidden_.push_back(element<T>(normal(random)));
  }

  bool packs() const { return packs_; }

  void check_forward() const {
    const DeviceArray<gpu::SliceSpan> slices(slices_);
    const DeviceArray<float> gate(gate_);
    const DeviceArray<T> gate_up(gate_up_);
    const std::vector<T> got = same_in_any_turns([&] {
      const DeviceArray<T> hidden(dhidden_.size());
      gpu::swiglu_forward<T>(rows(slices, gate), gate_up.get(), hidden.get(), nullptr);
      return hidden.values();
    });
    for_each_unit([&](std::size_t h, double g, double u, double, double gate_value, std::size_t) {
      const double expected = gate_value * g / (1 + std::exp(-g)) * u;
      ASSERT_NEAR(real(got[h]), expected, tolerance<T>() * (1e-3 + std::abs(expected))) << h;
    });
  }

  void check_backward() const {
    const DeviceArray<gpu::SliceSpan> slices(slices_);
    const DeviceArray<float> gate(gate_);
    const DeviceArray<T> gate_up(gate_up_);
    const DeviceArray<T> dhidden(dhidden_);
    const DeviceArray<float> dgate(gate_.size());
    gpu::swiglu_backward<T>(rows(slices, gate), gate_up.get(), dhidden.get(), dgate.get(), nullptr);
    const std::vector<T> gradient = gate_up.values();
    const std::vector<T> hidden = dhidden.values();
    std::vector<double> expected_dgate(gate_.size()), scale(gate_.size());
    for_each_unit(
        [&](std::size_t h, double g, double u, double z, double gate_value, std::size_t i) {
          const double sigmoid = 1 / (1 + std::exp(-g));
          const auto [dg_at, du_at] = places_of(h, i);
          const auto near = [&](double got, double expected) {
            ASSERT_NEAR(got, expected, tolerance<T>() * (0.1 + std::abs(expected))) << h;
          };
          near(real(hidden[h]), gate_value * g * sigmoid * u);
          near(real(gradient[du_at]), gate_value * z * g * sigmoid);
          near(real(gradient[dg_at]), gate_value * z * u * (sigmoid + g * sigmoid * (1 - sigmoid)));
          expected_dgate[i] += g * sigmoid * u * z;
          scale[i] += std::abs(g * sigmoid * u * z);
        });
    const std::vector<float> got = dgate.values();
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], expected_dgate[i], 2e-6 * (1 + scale[i])) << i;
    }
  }

 private:
  gpu::SwigluRows<T> rows(const DeviceArray<gpu::SliceSpan>& slices,
                          const DeviceArray<float>& gate) const {
    return {.slices = slices.get(),
            .num_slices = static_cast<std::int64_t>(slices_.size()),
            .gate = gate.get(),
            .selections = static_cast<std::int64_t>(gate_.size()),
            .packs = packs_};
  }

  /// Elements of gate_up that hold g and u of hidden element h, of selection i.
  std::pair<std::size_t, std::size_t> places_of(std::size_t h, std::size_t i) const {
    const gpu::SliceSpan& slice = slices_[static_cast<std::size_t>(slice_of_[i])];
    const std::size_t row = static_cast<std::size_t>(slice.hidden_begin) +
                            (i - static_cast<std::size_t>(slice.selection_begin)) *
                                static_cast<std::size_t>(slice.width);
    const std::size_t g = 2 * row + (h - row);
    return {g, g + static_cast<std::size_t>(slice.width)};
  }

  template <typename Body>
  void for_each_unit(Body body) const {
    std::size_t h = 0;
    for (std::size_t i = 0; i < gate_.size(); ++i) {
      const auto width = slices_[static_cast<std::size_t>(slice_of_[i])].width;
      for (std::int64_t unit = 0; unit < width; ++unit, ++h) {
        const auto [g, u] = places_of(h, i);
        body(h, real(gate_up_[g]), real(gate_up_[u]), real(dhidden_[h]), gate_[i], i);
      }
    }
  }

  std::vector<gpu::SliceSpan> slices_;
  std::vector<std::int32_t> slice_of_;
  std::vector<float> gate_;
  std::vector<T> gate_up_, dhidden_;
  bool packs_ = true;
};

const Shape kOdd{{7, 1, 33, 300}, {3, 2, 0, 5}};
const Shape kPacked{{32, 8, 2056}, {3, 4, 2}};

TEST(GpuSwiglu, unequal_slices_in_one_launch) {
  for (const Shape& shape : {kOdd, kPacked, Shape{{8}, {0}}}) {
    EXPECT_EQ(Swiglu<float>(shape).packs(), shape.widths != kOdd.widths);
    Swiglu<float>(shape).check_forward();
    Swiglu<gpu::BFloat16Bits>(shape).check_forward();
  }
}

TEST(GpuSwiglu, gradients_of_unequal_slices_in_one_launch) {
  for (const Shape& shape : {kOdd, kPacked, Shape{{8}, {0}}}) {
    Swiglu<float>(shape).check_backward();
    Swiglu<gpu::BFloat16Bits>(shape).check_backward();
  }
}

TEST(GpuSwiglu, the_gradient_of_one_unit_is_that_of_finite_differences) {
  const double step = 1e-3;
  for (const float g : {-3.0F, -0.1F, 0.0F, 0.7F, 5.0F}) {
    const float u = 1.3F, gate = 0.4F, z = -0.8F;
    const gpu::SwigluGradient gradient = gpu::swiglu_gradient(g, u, z, gate);
    const auto value = [&](double dg, double du, double dgate) {
      const double x = g + dg;
      return z * (gate + dgate) * x / (1 + std::exp(-x)) * (u + du);
    };
    EXPECT_NEAR(gradient.dg, (value(step, 0, 0) - value(-step, 0, 0)) / (2 * step), 1e-5);
    EXPECT_NEAR(gradient.du, (value(0, step, 0) - value(0, -step, 0)) / (2 * step), 1e-5);
    EXPECT_NEAR(gradient.dgate, (value(0, 0, step) - value(0, 0, -step)) / (2 * step), 1e-5);
    EXPECT_NEAR(gradient.hidden, gpu::swiglu(g, u, gate), 1e-6);
  }
}

}  // namespace
}  // namespace hetmoe::test
