#include "core/kernels/gpu/rms_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/unit/gpu/device_array.h"
#include "tests/unit/gpu/elements.h"

namespace hetmoe::test {
namespace {

constexpr float kEpsilon = 1e-5F;

struct Shape {
  std::int64_t rows;
  std::int64_t columns;
  std::size_t elements() const { return static_cast<std::size_t>(rows * columns); }
};
// One of all; odd, over two lines of partial sums; packs; more than a block takes at once, twice.
const std::vector<Shape> kShapes = {{1, 1}, {70, 37}, {129, 64}, {1, 301}, {3, 2056}};

/// Rows of values in double, as the norm would see them.
struct Reference {
  Shape shape;
  std::vector<double> x, weight, dy;

  double inverse(std::int64_t row) const {
    double sum = 0;
    for (std::int64_t i = 0; i < shape.columns; ++i) sum += at(x, row, i) * at(x, row, i);
    return 1 / std::sqrt(sum / static_cast<double>(shape.columns) + kEpsilon);
  }
  /// sum of dy * y over the whole.
  double objective() const {
    double sum = 0;
    for (std::int64_t row = 0; row < shape.rows; ++row) {
      const double scale = inverse(row);
      for (std::int64_t i = 0; i < shape.columns; ++i) {
        sum += at(dy, row, i) * at(x, row, i) * scale * weight[static_cast<std::size_t>(i)];
      }
    }
    return sum;
  }
  double at(const std::vector<double>& values, std::int64_t row, std::int64_t i) const {
    return values[static_cast<std::size_t>(row * shape.columns + i)];
  }
};

template <typename T>
std::vector<double> reals(const std::vector<T>& values) {
  std::vector<double> result;
  for (const T value : values) result.push_back(real(value));
  return result;
}

template <typename T>
class Norm {
 public:
  explicit Norm(const Shape& shape)
      : shape_(shape),
        x_(random_elements<T>(shape.elements(), 2, 1)),
        weight_(random_elements<T>(static_cast<std::size_t>(shape.columns), 1, 2)),
        dy_(random_elements<T>(shape.elements(), 1, 3)),
        reference_{shape, reals(x_), reals(weight_), reals(dy_)} {}

  void check_forward() const {
    const DeviceArray<float> inverse(static_cast<std::size_t>(shape_.rows));
    const std::vector<T> y = same_in_any_turns([&] { return forward(inverse, false); });
    const std::vector<float> scale = inverse.values();
    for (std::size_t i = 0; i < y.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i) / shape_.columns;
      const double expected_scale = reference_.inverse(row);
      EXPECT_NEAR(scale[static_cast<std::size_t>(row)], expected_scale, 1e-6 * expected_scale);
      const double expected =
          reference_.x[i] * expected_scale * reference_.weight[i % weight_.size()];
      ASSERT_NEAR(real(y[i]), expected, tolerance<T>() * (1e-3 + std::abs(expected))) << i;
    }
  }

  void check_backward() {
    const auto before = random_elements<float>(weight_.size(), 1, 4);
    const auto dweight = same_in_any_turns([&] { return backward(before).weight; });
    const std::vector<T> dx = same_in_any_turns([&] { return backward(before).x; });
    for (std::size_t i = 0; i < dx.size(); ++i) {
      const double expected = expected_dx(i);
      ASSERT_NEAR(real(dx[i]), expected, tolerance<T>() * (0.1 + std::abs(expected))) << i;
    }
    const std::vector<float> no_values(before.size(), std::numeric_limits<float>::quiet_NaN());
    EXPECT_TRUE(same_bits(backward(no_values, false, /*adds=*/false).weight,
                          backward(std::vector<float>(before.size(), 0)).weight));
    for (std::size_t i = 0; i < dweight.size(); ++i) {
      double expected = before[i];
      double scale = 1;
      for (std::int64_t row = 0; row < shape_.rows; ++row) {
        const std::size_t place = static_cast<std::size_t>(row * shape_.columns) + i;
        const double term = reference_.dy[place] * reference_.x[place] * reference_.inverse(row);
        expected += term;
        scale += std::abs(term);
      }
      ASSERT_NEAR(dweight[i], expected, 1e-6 * scale) << i;
    }
  }

  void check_forward_in_place() const {
    const DeviceArray<float> inverse(static_cast<std::size_t>(shape_.rows));
    EXPECT_TRUE(same_bits(forward(inverse, false), forward(inverse, true)));
  }

  void check_in_place() const {
    const std::vector<float> zeros(weight_.size(), 0);
    const Gradient apart = backward(zeros, false);
    const Gradient in_place = backward(zeros, true);
    EXPECT_TRUE(same_bits(apart.x, in_place.x));
    EXPECT_TRUE(same_bits(apart.weight, in_place.weight));
  }

  void check_finite_differences() {
    const auto gradient = backward(std::vector<float>(weight_.size(), 0));
    const double step = 1e-4;
    const auto slope = [&](double& value) {
      const double kept = value;
      value = kept + step;
      const double above = reference_.objective();
      value = kept - step;
      const double below = reference_.objective();
      value = kept;
      return (above - below) / (2 * step);
    };
    for (std::size_t i = 0; i < x_.size(); ++i) {
      EXPECT_NEAR(real(gradient.x[i]), slope(reference_.x[i]), 1e-5) << i;
    }
    for (std::size_t i = 0; i < weight_.size(); ++i) {
      EXPECT_NEAR(gradient.weight[i], slope(reference_.weight[i]), 1e-4) << i;
    }
  }

 private:
  std::vector<T> forward(const DeviceArray<float>& inverse, bool in_place) const {
    const DeviceArray<T> x(x_), weight(weight_), apart(x_.size());
    const DeviceArray<T>& y = in_place ? x : apart;
    gpu::rms_norm_forward(x.get(), weight.get(), y.get(), inverse.get(), shape_.rows,
                          shape_.columns, kEpsilon, nullptr);
    return y.values();
  }

  struct Gradient {
    std::vector<T> x;
    std::vector<float> weight;
  };
  Gradient backward(const std::vector<float>& before, bool in_place = false,
                    bool adds = true) const {
    const DeviceArray<T> x(x_), weight(weight_), dy(dy_), apart(x_.size());
    const DeviceArray<T>& dx = in_place ? dy : apart;
    std::vector<float> scales;
    for (std::int64_t row = 0; row < shape_.rows; ++row) {
      scales.push_back(static_cast<float>(reference_.inverse(row)));
    }
    const DeviceArray<float> inverse(scales), dweight(before);
    const DeviceArray<float> scratch(
        static_cast<std::size_t>(gpu::rms_norm_scratch_floats(shape_.rows, shape_.columns)));
    gpu::rms_norm_backward<T>({x.get(), weight.get(), inverse.get(), shape_.rows, shape_.columns},
                              dy.get(), dx.get(), adds, dweight.get(), scratch.get(), nullptr);
    return {dx.values(), dweight.values()};
  }

  double expected_dx(std::size_t place) const {
    const auto row = static_cast<std::int64_t>(place) / shape_.columns;
    const double inverse = reference_.inverse(row);
    double dot = 0;
    for (std::int64_t i = 0; i < shape_.columns; ++i) {
      dot += reference_.at(reference_.dy, row, i) * reference_.at(reference_.x, row, i) *
             reference_.weight[static_cast<std::size_t>(i)];
    }
    return reference_.dy[place] * reference_.weight[place % weight_.size()] * inverse -
           reference_.x[place] * dot * std::pow(inverse, 3) / static_cast<double>(shape_.columns);
  }

  Shape shape_;
  std::vector<T> x_, weight_, dy_;
  Reference reference_;
};

TEST(GpuRmsNorm, rows_have_a_mean_square_of_one_before_the_weight) {
  for (const Shape& shape : kShapes) {
    Norm<float>(shape).check_forward();
    Norm<gpu::BFloat16Bits>(shape).check_forward();
  }
}

TEST(GpuRmsNorm, the_result_may_take_the_place_of_the_rows) {
  Norm<float>({3, 301}).check_forward_in_place();
  Norm<gpu::BFloat16Bits>({3, 2056}).check_forward_in_place();
}

TEST(GpuRmsNorm, gradients_are_those_of_the_formula_and_the_weights_is_added) {
  for (const Shape& shape : kShapes) {
    Norm<float>(shape).check_backward();
    Norm<gpu::BFloat16Bits>(shape).check_backward();
  }
}

TEST(GpuRmsNorm, the_gradient_may_take_the_place_of_the_one_it_comes_from) {
  Norm<float>({5, 301}).check_in_place();
  Norm<gpu::BFloat16Bits>({5, 64}).check_in_place();
}

TEST(GpuRmsNorm, gradients_are_those_of_finite_differences) {
  Norm<float>({5, 12}).check_finite_differences();
}

TEST(GpuRmsNorm, no_rows_launch_nothing_and_need_no_scratch) {
  const std::uint64_t before = launches_so_far();
  float* none = nullptr;
  gpu::rms_norm_forward<float>(none, none, none, none, 0, 8, kEpsilon, nullptr);
  gpu::rms_norm_backward<float>({.columns = 8}, none, none, true, none, none, nullptr);
  EXPECT_EQ(launches_so_far(), before);
  EXPECT_EQ(gpu::rms_norm_scratch_floats(0, 8), 0);
}

}  // namespace
}  // namespace hetmoe::test
