#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/kernels/cross_entropy.h"
#include "core/kernels/embedding.h"
#include "core/kernels/rms_norm.h"
#include "core/kernels/vector_math.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

TEST(FastExp, IsWithinTwoUnitsOfTheLibraryAndKeepsTheEdges) {
  for (float x = -87.0F; x <= 88.0F; x += 0.0137F) {
    const double expected = std::exp(static_cast<double>(x));
    EXPECT_NEAR(fast_exp(x) / expected, 1.0, 3e-7) << x;
  }
  EXPECT_EQ(fast_exp(0.0F), 1.0F);
  EXPECT_EQ(fast_exp(-200.0F), 0.0F);
  EXPECT_EQ(fast_exp(-std::numeric_limits<float>::infinity()), 0.0F);
  EXPECT_EQ(fast_exp(std::numeric_limits<float>::infinity()),
            std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(fast_exp(std::numeric_limits<float>::quiet_NaN())));
}

TEST(NarrowToBfloat16, RoundsAsLibTorchDoes) {
  for (float x : {0.0F, -0.0F, 1.0F, 1.00390625F, 1.01171875F, 3.0e38F, -1e-40F, 65504.3F}) {
    EXPECT_EQ(narrow_to_bfloat16(x).x, c10::BFloat16(x).x) << x;
  }
  EXPECT_EQ(narrow_to_bfloat16(std::numeric_limits<float>::infinity()).x, 0x7f80);
  EXPECT_TRUE(
      std::isnan(static_cast<float>(narrow_to_bfloat16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(RmsNorm, MatchesTheFormulaAndFiniteDifferences) {
  at::Tensor x = test_values("x", {5, 37});
  at::Tensor weight = test_values("w", {37});
  const at::Tensor dy = test_values("dy", {5, 37});
  const auto result = rms_norm_forward(x, weight, 1e-5);
  const at::Tensor expected =
      x.div(x.square().mean(at::IntArrayRef{1}, true).add(1e-5).sqrt()).mul(weight);
  EXPECT_LT(relative_difference(result.y, expected), 1e-14);

  at::Tensor dweight = at::zeros_like(weight);
  const at::Tensor dx = rms_norm_backward(dy, x, weight, result.inverse_rms, dweight);
  const auto value = [&] { return inner_product(rms_norm_forward(x, weight, 1e-5).y, dy); };
  EXPECT_LT(relative_gradient_error(value, x, dx), 1e-8);
  EXPECT_LT(relative_gradient_error(value, weight, dweight), 1e-8);
}

TEST(RmsNorm, AcceptsNoRows) {
  const at::Tensor weight = test_values("w", {8});
  const auto result = rms_norm_forward(at::zeros({0, 8}, weight.options()), weight, 1e-5);
  at::Tensor dweight = at::zeros_like(weight);
  rms_norm_backward(result.y, result.y, weight, result.inverse_rms, dweight);
  EXPECT_EQ(dweight.abs().sum().item<double>(), 0.0);
}

TEST(CrossEntropy, MatchesLogSoftmaxAndFiniteDifferences) {
  at::Tensor x = test_values("x", {7, 5});
  at::Tensor head = test_values("head", {33, 5});
  const std::vector<std::int32_t> targets = {0, 32, 5, 5, 17, 1, 31};
  at::Tensor dhead = at::zeros_like(head);
  const auto result = cross_entropy_with_gradient(x, head, targets, 0.25, dhead);

  const at::Tensor logs = at::log_softmax(at::matmul(x, head.t()), 1);
  double expected = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) expected -= logs[i][targets[i]].item<double>();
  EXPECT_NEAR(result.loss_sum.value(), expected, 1e-12);
  EXPECT_NEAR(cross_entropy(x, head, targets), expected, 1e-12);

  const auto value = [&] { return 0.25 * cross_entropy(x, head, targets); };
  EXPECT_LT(relative_gradient_error(value, x, result.dx), 1e-8);
  EXPECT_LT(relative_gradient_error(value, head, dhead), 1e-8);
}

TEST(CrossEntropy, NonFiniteLogitsGiveANonFiniteLoss) {
  at::Tensor x = test_values("x", {2, 5});
  x[1][2] = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor head = test_values("head", {9, 5});
  const std::vector<std::int32_t> targets = {0, 3};
  EXPECT_FALSE(std::isfinite(cross_entropy(x, head, targets)));
  EXPECT_FALSE(std::isfinite(cross_entropy(x.to(at::kFloat), head.to(at::kFloat), targets)));
}

TEST(Embedding, GradientAddsRepeatedTokens) {
  const at::Tensor table = test_values("table", {6, 3});
  const std::vector<std::int32_t> tokens = {2, 5, 2};
  const at::Tensor rows = embedding_forward(table, tokens);
  EXPECT_TRUE(rows[0].equal(table[2]));
  EXPECT_TRUE(rows[1].equal(table[5]));
  at::Tensor gradient = at::zeros_like(table);
  const at::Tensor dy = test_values("dy", {3, 3});
  embedding_backward(dy, tokens, gradient);
  EXPECT_LT(relative_difference(gradient[2], dy[0].add(dy[2])), 1e-15);
  EXPECT_EQ(gradient[0].abs().sum().item<double>(), 0.0);
}

}  // namespace
}  // namespace hetmoe
