#include <ATen/ops/arange.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/kernels/attention.h"
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
  EXPECT_NEAR(result.loss_sum, expected, 1e-12);
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

/// Attention written out position by position, straight from the formulas.
at::Tensor plain_attention(const at::Tensor& qkv, const AttentionShape& shape,
                           const std::vector<std::int32_t>& document_begin) {
  const std::int64_t width = shape.head_dim;
  const at::Tensor rows = qkv.view({shape.sequences, shape.length, -1, width});
  const auto rotate = [&](const at::Tensor& x, std::int64_t position) {
    const at::Tensor angle = at::arange(0, width, 2, x.options())
                                 .mul(-std::log(shape.rope_theta) / static_cast<double>(width))
                                 .exp()
                                 .mul(static_cast<double>(position));
    const auto halves = x.chunk(2, 0);
    return at::cat({halves[0].mul(angle.cos()).sub(halves[1].mul(angle.sin())),
                    halves[1].mul(angle.cos()).add(halves[0].mul(angle.sin()))});
  };
  at::Tensor out =
      at::zeros({shape.sequences, shape.length, shape.num_heads, width}, qkv.options());
  const std::int64_t group = shape.num_heads / shape.num_kv_heads;
  for (std::int64_t s = 0; s < shape.sequences; ++s) {
    for (std::int64_t head = 0; head < shape.num_heads; ++head) {
      const std::int64_t key_head = shape.num_heads + head / group;
      for (std::int64_t i = 0; i < shape.length; ++i) {
        const std::int64_t first =
            document_begin.empty() ? 0 : document_begin[s * shape.length + i];
        const at::Tensor q = rotate(rows[s][i][head], i);
        std::vector<at::Tensor> scores;
        for (std::int64_t j = first; j <= i; ++j) {
          scores.push_back(q.dot(rotate(rows[s][j][key_head], j)).div(std::sqrt(width)));
        }
        const at::Tensor p = at::softmax(at::stack(scores), 0);
        for (std::int64_t j = first; j <= i; ++j) {
          out[s][i][head].add_(rows[s][j][key_head + shape.num_kv_heads].mul(p[j - first]));
        }
      }
    }
  }
  return out.view({shape.sequences * shape.length, shape.num_heads * width});
}

class AttentionCases : public testing::TestWithParam<std::tuple<int, int, bool>> {};

TEST_P(AttentionCases, MatchesThePlainFormulas) {
  const auto [length, kv_heads, documents] = GetParam();
  const AttentionShape shape{.sequences = 2,
                             .length = length,
                             .num_heads = 4,
                             .num_kv_heads = kv_heads,
                             .head_dim = 6,
                             .rope_theta = 100};
  const at::Tensor qkv = test_values("qkv", {2 * length, shape.row_width()});
  std::vector<std::int32_t> begin;
  if (documents) {
    for (int i = 0; i < 2 * length; ++i) begin.push_back((i % length) / 5 * 5);
  }
  const at::Tensor output = attention_forward(qkv, shape, begin).output;
  EXPECT_LT(relative_difference(output, plain_attention(qkv, shape, begin)), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(OddAndEven, AttentionCases,
                         testing::Values(std::tuple{1, 4, false}, std::tuple{7, 4, false},
                                         std::tuple{7, 2, true}, std::tuple{67, 1, false},
                                         std::tuple{65, 2, true}));

TEST(Attention, GradientMatchesFiniteDifferences) {
  const AttentionShape shape{.sequences = 1,
                             .length = 66,  // two blocks of queries, the second ragged
                             .num_heads = 2,
                             .num_kv_heads = 1,
                             .head_dim = 2,
                             .rope_theta = 50};
  at::Tensor qkv = test_values("qkv", {66, shape.row_width()});
  const at::Tensor dy = test_values("dy", {66, shape.output_width()});
  std::vector<std::int32_t> begin(66, 0);
  for (int i = 40; i < 66; ++i) begin[i] = 40;
  const AttentionResult saved = attention_forward(qkv, shape, begin);
  const at::Tensor dqkv = attention_backward(dy, saved, shape, begin);
  const auto value = [&] { return inner_product(attention_forward(qkv, shape, begin).output, dy); };
  EXPECT_LT(relative_gradient_error(value, qkv, dqkv), 1e-7);
}

TEST(Attention, Bfloat16IsNearDouble) {
  const AttentionShape shape{
      .sequences = 2, .length = 130, .num_heads = 4, .num_kv_heads = 2, .head_dim = 16};
  const at::Tensor qkv = test_values("qkv", {260, shape.row_width()}).to(at::kBFloat16);
  const at::Tensor dy = test_values("dy", {260, shape.output_width()}).to(at::kBFloat16);
  const auto low = attention_forward(qkv, shape, {});
  const auto high = attention_forward(qkv.to(at::kDouble), shape, {});
  EXPECT_LT(relative_difference(low.output, high.output), 1e-2);
  EXPECT_LT(relative_difference(attention_backward(dy, low, shape, {}),
                                attention_backward(dy.to(at::kDouble), high, shape, {})),
            2e-2);
}

TEST(Attention, AcceptsNoSequences) {
  const AttentionShape shape{
      .sequences = 0, .length = 5, .num_heads = 2, .num_kv_heads = 2, .head_dim = 4};
  const at::Tensor qkv = at::zeros({0, shape.row_width()}, at::TensorOptions(at::kFloat));
  const auto result = attention_forward(qkv, shape, {});
  EXPECT_EQ(result.output.size(0), 0);
  EXPECT_EQ(attention_backward(result.output, result, shape, {}).size(1), shape.row_width());
}

}  // namespace
}  // namespace hetmoe
