#include "core/kernels/attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

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

struct Bfloat16Case {
  int length, heads, kv_heads, head_dim;
  bool documents;
};

class AttentionInBfloat16 : public testing::TestWithParam<Bfloat16Case> {};

// Heads whose width is a multiple of 32 take the packed form where the processor has it.
TEST_P(AttentionInBfloat16, IsNearDouble) {
  const Bfloat16Case c = GetParam();
  const AttentionShape shape{.sequences = 2,
                             .length = c.length,
                             .num_heads = c.heads,
                             .num_kv_heads = c.kv_heads,
                             .head_dim = c.head_dim};
  const at::Tensor qkv = test_values("qkv", {2 * c.length, shape.row_width()}).to(at::kBFloat16);
  const at::Tensor dy = test_values("dy", {2 * c.length, shape.output_width()}).to(at::kBFloat16);
  std::vector<std::int32_t> begin;
  if (c.documents) {
    for (int i = 0; i < 2 * c.length; ++i) begin.push_back((i % c.length) / 23 * 23);
  }
  const auto low = attention_forward(qkv, shape, begin);
  const auto high = attention_forward(qkv.to(at::kDouble), shape, begin);
  EXPECT_LT(relative_difference(low.output, high.output), 6e-3);
  EXPECT_LT(relative_difference(low.log_sum_exp, high.log_sum_exp), 4e-3);
  EXPECT_LT(relative_difference(attention_backward(dy, low, shape, begin),
                                attention_backward(dy.to(at::kDouble), high, shape, begin)),
            1e-2);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionInBfloat16,
    testing::Values(Bfloat16Case{130, 4, 2, 16, false}, Bfloat16Case{1, 2, 2, 64, false},
                    Bfloat16Case{63, 2, 1, 32, false}, Bfloat16Case{64, 2, 2, 64, true},
                    Bfloat16Case{65, 4, 1, 96, true}, Bfloat16Case{200, 4, 2, 64, false},
                    Bfloat16Case{129, 2, 2, 160, true}, Bfloat16Case{577, 2, 1, 32, false},
                    Bfloat16Case{1091, 1, 1, 64, true}));

// Longer than a tile of keys, and a document that reaches over the end of one.
TEST(Attention, GradientsOfLongDocumentsInBfloat16AreNearDouble) {
  const AttentionShape shape{
      .sequences = 1, .length = 1100, .num_heads = 2, .num_kv_heads = 1, .head_dim = 64};
  const at::Tensor qkv = test_values("qkv", {1100, shape.row_width()}).to(at::kBFloat16);
  const at::Tensor dy = test_values("dy", {1100, shape.output_width()}).to(at::kBFloat16);
  std::vector<std::int32_t> begin(1100, 0);
  std::fill(begin.begin() + 470, begin.end(), 470);
  std::fill(begin.begin() + 1030, begin.end(), 1030);
  const auto low = attention_forward(qkv, shape, begin);
  const auto high = attention_forward(qkv.to(at::kDouble), shape, begin);
  EXPECT_LT(relative_difference(low.output, high.output), 6e-3);
  EXPECT_LT(relative_difference(attention_backward(dy, low, shape, begin),
                                attention_backward(dy.to(at::kDouble), high, shape, begin)),
            1e-2);
}

// Some tiles before the largest score, some after it.
TEST(Attention, LargeScoresOfLaterTilesAreNearDouble) {
  const AttentionShape shape{
      .sequences = 1, .length = 700, .num_heads = 1, .num_kv_heads = 1, .head_dim = 32};
  at::Tensor qkv = test_values("qkv", {700, shape.row_width()});
  qkv.narrow(0, 0, 512).narrow(1, 32, 32).mul_(0.01);  // keys of the first tile
  qkv.narrow(0, 512, 188).narrow(1, 0, 64).mul_(1.5);
  qkv = qkv.to(at::kBFloat16);
  const auto low = attention_forward(qkv, shape, {});
  const auto high = attention_forward(qkv.to(at::kDouble), shape, {});
  EXPECT_LT(relative_difference(low.output, high.output), 8e-3);
}

TEST(Attention, RepeatsBitForBit) {
  const AttentionShape shape{
      .sequences = 3, .length = 600, .num_heads = 4, .num_kv_heads = 2, .head_dim = 64};
  const at::Tensor qkv = test_values("qkv", {1800, shape.row_width()}).to(at::kBFloat16);
  const at::Tensor dy = test_values("dy", {1800, shape.output_width()}).to(at::kBFloat16);
  const auto first = attention_forward(qkv, shape, {});
  const auto second = attention_forward(qkv, shape, {});
  EXPECT_TRUE(first.output.equal(second.output));
  EXPECT_TRUE(first.log_sum_exp.equal(second.log_sum_exp));
  EXPECT_TRUE(
      attention_backward(dy, first, shape, {}).equal(attention_backward(dy, second, shape, {})));
}

TEST(Attention, NonFiniteValuesReachTheOutput) {
  const AttentionShape shape{
      .sequences = 1, .length = 70, .num_heads = 1, .num_kv_heads = 1, .head_dim = 32};
  at::Tensor qkv = test_values("qkv", {70, shape.row_width()});
  qkv[66][3] = std::numeric_limits<double>::quiet_NaN();  // a query
  for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const at::Tensor output = attention_forward(qkv.to(type), shape, {}).output;
    EXPECT_TRUE(std::isnan(output[66].sum().item<double>()));
    EXPECT_TRUE(std::isfinite(output[65].sum().item<double>()));
  }
}

TEST(Attention, OfNoScoreAboveMinusInfinityIsNotANumber) {
  const AttentionShape shape{
      .sequences = 1, .length = 70, .num_heads = 1, .num_kv_heads = 1, .head_dim = 32};
  at::Tensor qkv = test_values("qkv", {70, shape.row_width()});
  // The sixth token is alone. An angle of 5 makes its query -inf and inf in two places, where its
  // key is 0.28 and -0.96.
  std::vector<std::int32_t> begin(70, 0);
  begin[5] = 5;
  std::fill(begin.begin() + 6, begin.end(), 6);
  qkv[5][0] = -std::numeric_limits<double>::infinity();
  qkv[5][32] = 1.0;
  qkv[5][48] = 0.0;
  for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const auto result = attention_forward(qkv.to(type), shape, begin);
    EXPECT_TRUE(std::isnan(result.output[5].sum().item<double>())) << type;
    EXPECT_TRUE(std::isfinite(result.output.narrow(0, 6, 64).sum().item<double>())) << type;
  }
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
