#include "core/kernels/gpu/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/kernels/gpu/cross_entropy_arithmetic.h"
#include "tests/unit/gpu/device_array.h"
#include "tests/unit/gpu/elements.h"

namespace hetmoe::test {
namespace {

struct Shape {
  std::int64_t rows;
  std::int64_t columns;
};
// One class; odd; packs; more than a block takes at once, odd and packed.
const std::vector<Shape> kShapes = {{2, 1}, {5, 37}, {3, 64}, {1, 2999}, {2, 4104}};

/// Of one row, in double.
struct Softmax {
  double log_sum = 0;

  template <typename T>
  explicit Softmax(const std::vector<T>& row) {
    double largest = real(row[0]);
    for (const T logit : row) largest = std::max(largest, real(logit));
    double sum = 0;
    for (const T logit : row) sum += std::exp(real(logit) - largest);
    log_sum = std::log(sum) + largest;
  }
};

template <typename T>
class Losses {
 public:
  Losses(std::vector<T> logits, std::vector<std::int32_t> targets)
      : logits_(std::move(logits)), targets_(std::move(targets)) {}

  std::int64_t rows() const { return static_cast<std::int64_t>(targets_.size()); }
  std::int64_t columns() const { return static_cast<std::int64_t>(logits_.size()) / rows(); }

  std::vector<float> loss() const {
    const DeviceArray<T> logits(logits_);
    const DeviceArray<std::int32_t> targets(targets_);
    const DeviceArray<float> loss(targets_.size());
    gpu::cross_entropy<T>(logits.get(), targets.get(), loss.get(), rows(), columns(), nullptr);
    return loss.values();
  }

  struct Gradient {
    std::vector<float> loss;
    std::vector<T> logits;
  };
  Gradient gradient(float scale) const {
    const DeviceArray<T> logits(logits_);
    const DeviceArray<std::int32_t> targets(targets_);
    const DeviceArray<float> loss(targets_.size());
    gpu::cross_entropy_with_gradient(logits.get(), targets.get(), scale, loss.get(), rows(),
                                     columns(), nullptr);
    return {loss.values(), logits.values()};
  }

  void check() const {
    const float scale = 0.25F;
    const auto loss = same_in_any_turns([&] { return this->loss(); });
    const auto with_gradient = same_in_any_turns([&] { return gradient(scale).loss; });
    EXPECT_TRUE(same_bits(loss, with_gradient));
    const auto dlogits = same_in_any_turns([&] { return gradient(scale).logits; });
    for (std::int64_t r = 0; r < rows(); ++r) {
      const auto begin = logits_.begin() + r * columns();
      const Softmax softmax(std::vector<T>(begin, begin + columns()));
      const std::int32_t target = targets_[static_cast<std::size_t>(r)];
      const double expected = softmax.log_sum - real(begin[target]);
      ASSERT_NEAR(loss[static_cast<std::size_t>(r)], expected, 2e-6 * (1 + expected)) << r;
      for (std::int64_t i = 0; i < columns(); ++i) {
        const double share =
            scale * (std::exp(real(begin[i]) - softmax.log_sum) - (i == target ? 1 : 0));
        ASSERT_NEAR(real(dlogits[static_cast<std::size_t>(r * columns() + i)]), share,
                    tolerance<T>() * std::abs(share) + 1e-7)
            << i;
      }
    }
  }

 private:
  std::vector<T> logits_;
  std::vector<std::int32_t> targets_;
};

template <typename T>
Losses<T> random_losses(const Shape& shape) {
  std::vector<std::int32_t> targets;
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    targets.push_back(static_cast<std::int32_t>((row * 7919 + shape.columns - 1) % shape.columns));
  }
  return {random_elements<T>(static_cast<std::size_t>(shape.rows * shape.columns), 4), targets};
}

TEST(GpuCrossEntropy, losses_and_gradients_are_those_of_the_formula) {
  for (const Shape& shape : kShapes) {
    random_losses<float>(shape).check();
    random_losses<gpu::BFloat16Bits>(shape).check();
  }
}

TEST(GpuCrossEntropy, large_logits_neither_overflow_nor_vanish) {
  std::vector<float> logits(40, -3e4F);
  logits[11] = 3e4F;
  logits[12] = 3e4F - 2;
  Losses<float>(logits, {12}).check();
  Losses<float>(logits, {39}).check();
}

TEST(GpuCrossEntropy, a_logit_of_minus_infinity_has_no_share) {
  std::vector<float> logits(40, -std::numeric_limits<float>::infinity());
  logits[33] = 1;
  logits[34] = 2;
  const auto got = Losses<float>(logits, {34}).gradient(1);
  EXPECT_NEAR(got.loss[0], std::log(1 + std::exp(-1.0)), 1e-6);
  EXPECT_EQ(got.logits[0], 0);
  EXPECT_NEAR(got.logits[33], 1 / (1 + std::exp(1.0)), 1e-6);
}

TEST(GpuCrossEntropy, a_logit_that_is_not_a_number_makes_the_loss_none) {
  std::vector<float> logits(40, 1);
  logits[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(Losses<float>(logits, {20}).loss()[0]));
}

TEST(GpuCrossEntropy, the_gradient_is_that_of_finite_differences) {
  const auto logits = random_elements<float>(9);
  const auto gradient = Losses<float>(logits, {4}).gradient(1).logits;
  const double step = 1e-4;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const auto loss = [&](double offset) {
      double sum = 0;
      for (std::size_t k = 0; k < logits.size(); ++k) {
        sum += std::exp(logits[k] + (k == i ? offset : 0));
      }
      return std::log(sum) - logits[4] - (i == 4 ? offset : 0);
    };
    EXPECT_NEAR(gradient[i], (loss(step) - loss(-step)) / (2 * step), 1e-6) << i;
  }
}

TEST(GpuCrossEntropy, a_sum_of_exponentials_does_not_depend_on_where_the_largest_comes) {
  gpu::ExponentialSum rising, falling;
  for (const float value : {-1.0F, 0.5F, 90.0F}) gpu::add_exponential(rising, value);
  for (const float value : {90.0F, 0.5F, -1.0F}) gpu::add_exponential(falling, value);
  EXPECT_EQ(rising.largest, 90);
  EXPECT_FLOAT_EQ(rising.sum, falling.sum);
  EXPECT_FLOAT_EQ(gpu::rescaled(rising, 91), rising.sum * std::exp(-1.0F));
}

TEST(GpuCrossEntropy, no_rows_launch_nothing) {
  const std::uint64_t before = launches_so_far();
  float* none = nullptr;
  gpu::cross_entropy<float>(none, nullptr, none, 0, 8, nullptr);
  gpu::cross_entropy_with_gradient(none, nullptr, 1, none, 0, 8, nullptr);
  EXPECT_EQ(launches_so_far(), before);
}

}  // namespace
}  // namespace hetmoe::test
