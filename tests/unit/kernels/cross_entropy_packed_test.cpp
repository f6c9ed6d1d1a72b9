#include "core/kernels/cross_entropy_packed.h"

#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "core/kernels/cross_entropy.h"
#include "core/kernels/logit_exponentials.h"
#include "core/kernels/processor.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

constexpr double kScale = 0.01;

struct Expected {
  double loss = 0;
  at::Tensor dx, head;  ///< fp64
};

/// The formulas in fp64 on the same bf16 values.
Expected expected_of(const at::Tensor& x, const at::Tensor& head,
                     const std::vector<std::int32_t>& targets) {
  const at::Tensor wide_x = x.to(at::kDouble);
  const at::Tensor wide_head = head.to(at::kDouble);
  const at::Tensor logits = at::matmul(wide_x, wide_head.t());
  const at::Tensor logs = at::log_softmax(logits, 1);
  at::Tensor slope = at::softmax(logits, 1).mul(kScale);
  Expected expected;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    const auto token = static_cast<std::int64_t>(t);
    expected.loss -= logs[token][targets[t]].item<double>();
    slope[token][targets[t]] -= kScale;
  }
  expected.dx = at::matmul(slope, wide_head);
  expected.head = at::matmul(slope.t(), wide_x);
  return expected;
}

struct Input {
  at::Tensor x, head;
  std::vector<std::int32_t> targets;
};

Input make_input(std::int64_t tokens, std::int64_t hidden, std::int64_t vocabulary,
                 double deviation) {
  Input input{test_values("x", {tokens, hidden}).to(at::kBFloat16),
              test_values("head", {vocabulary, hidden}, deviation).to(at::kBFloat16),
              {}};
  for (std::int64_t t = 0; t < tokens; ++t) {
    input.targets.push_back(static_cast<std::int32_t>((t * t * 31 + 5) % vocabulary));
  }
  if (tokens > 1) input.targets[1] = static_cast<std::int32_t>(vocabulary - 1);
  return input;
}

at::Tensor filled(const Input& input, double value) {
  return at::full(input.head.sizes(), value, at::TensorOptions(at::kFloat));
}

void expect_matches(const Input& input) {
  const Expected expected = expected_of(input.x, input.head, input.targets);
  const double unit = std::max(1.0, std::abs(expected.loss));
  at::Tensor gradient = filled(input, std::numeric_limits<double>::quiet_NaN());
  const auto begun = cross_entropy_with_gradient(input.x, input.head, input.targets, kScale,
                                                 gradient, GradientSum::kBegin);
  EXPECT_NEAR(begun.loss_sum.value(), expected.loss, 2e-6 * unit);
  EXPECT_NEAR(cross_entropy(input.x, input.head, input.targets), expected.loss, 2e-6 * unit);
  EXPECT_LT(relative_difference(begun.dx, expected.dx), 4e-3);
  EXPECT_LT(relative_difference(gradient, expected.head), 3e-3);

  constexpr double kBefore = kScale / 1024;
  at::Tensor added = filled(input, kBefore);
  cross_entropy_with_gradient(input.x, input.head, input.targets, kScale, added);
  EXPECT_LT(relative_difference(added.sub(kBefore), expected.head), 3e-3);
}

class PackedCrossEntropy : public testing::Test {
 protected:
  void SetUp() override {
    const Input input = make_input(1, 32, 1, 1);
    if (!can_pack_cross_entropy(input.x, input.head)) GTEST_SKIP() << "no bf16 products here";
  }
};

TEST_F(PackedCrossEntropy, MatchesLoopsInDoubleAtOddSizes) {
  for (auto [tokens, hidden, vocabulary] : {std::tuple{1, 32, 2},
                                            {7, 64, 33},
                                            {64, 96, 64},
                                            {65, 160, 257},
                                            {200, 32, 1001},
                                            {1100, 32, 130}}) {
    SCOPED_TRACE(testing::Message() << tokens << " tokens, " << hidden << " to " << vocabulary);
    expect_matches(make_input(tokens, hidden, vocabulary, 0.3));
  }
}

TEST_F(PackedCrossEntropy, ChunksOfTokensAddUp) {
  // 64 tokens of so many entries are a chunk.
  expect_matches(make_input(150, 32, 300'001, 0.1));
}

TEST_F(PackedCrossEntropy, AVocabularyOfOneHasNoLoss) {
  const Input input = make_input(3, 32, 1, 1);
  at::Tensor gradient = filled(input, 7);
  const auto result = cross_entropy_with_gradient(input.x, input.head, input.targets, kScale,
                                                  gradient, GradientSum::kBegin);
  EXPECT_EQ(result.loss_sum.value(), 0.0);
  EXPECT_EQ(result.dx.abs().sum().item<double>(), 0.0);
  EXPECT_EQ(gradient.abs().sum().item<double>(), 0.0);
}

TEST_F(PackedCrossEntropy, LogitsFarAboveTheTargetsTakeAnotherPass) {
  Input input = make_input(70, 32, 300, 4.0);  // logits of +-60, targets anywhere among them
  expect_matches(input);
  input.head.mul_(20);  // thousands
  expect_matches(input);
}

TEST_F(PackedCrossEntropy, WhatIsAlmostCertainKeepsItsGradient) {
  // Every token's target is 12 nats above all else: 1 - p = 1e-4 would drown in bf16's rounding.
  Input input = make_input(64, 96, 64, 0.0);
  input.x.zero_();
  for (std::int64_t t = 0; t < 64; ++t) {
    input.x[t][t] = 4.0;
    input.head[t][t] = 3.0;
    input.targets[t] = static_cast<std::int32_t>(t);
  }
  expect_matches(input);
}

TEST_F(PackedCrossEntropy, AllTokensMayHaveOneTarget) {
  Input input = make_input(130, 64, 100, 0.3);
  input.targets.assign(input.targets.size(), 63);
  expect_matches(input);
}

TEST_F(PackedCrossEntropy, NoTokensBeginWithZeros) {
  const Input input = make_input(0, 32, 40, 1);
  at::Tensor gradient = filled(input, 7);
  const auto result = cross_entropy_with_gradient(input.x, input.head, input.targets, kScale,
                                                  gradient, GradientSum::kBegin);
  EXPECT_EQ(result.loss_sum.value(), 0.0);
  EXPECT_EQ(result.dx.size(0), 0);
  EXPECT_EQ(gradient.abs().sum().item<double>(), 0.0);
  EXPECT_EQ(cross_entropy(input.x, input.head, input.targets), 0.0);
}

TEST_F(PackedCrossEntropy, NonFiniteLogitsGiveANonFiniteLoss) {
  for (const double value :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Input input = make_input(70, 32, 40, 1);
    input.x[66][3] = value;
    EXPECT_FALSE(std::isfinite(cross_entropy(input.x, input.head, input.targets)));
    at::Tensor gradient = filled(input, 0);
    EXPECT_FALSE(std::isfinite(
        cross_entropy_with_gradient(input.x, input.head, input.targets, kScale, gradient)
            .loss_sum.value()));
  }
  Input input = make_input(70, 32, 40, 1);
  input.head[39][0] = std::numeric_limits<double>::quiet_NaN();  // nobody's target but token 1's
  input.targets.assign(70, 2);
  EXPECT_FALSE(std::isfinite(cross_entropy(input.x, input.head, input.targets)));
}

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};

struct Tile {
  static constexpr std::int64_t kStride = 96;
  std::vector<float> sums = std::vector<float>(kLogitTokens, -1.0F);
  std::vector<float> peaks = std::vector<float>(kLogitTokens, -30.0F);
  std::unique_ptr<c10::BFloat16, FreeMemory> powers{
      static_cast<c10::BFloat16*>(std::aligned_alloc(64, kLogitRows* kStride * 2))};
  std::vector<std::uint32_t> pairs = std::vector<std::uint32_t>(kLogitRows / 2 * kLogitTokens, ~0U);

  LogitTile of(std::int64_t rows, const std::vector<float>& references, bool sums_alone = false) {
    return {.rows = rows,
            .references = references.data(),
            .sums = sums.data(),
            .peaks = peaks.data(),
            .powers = sums_alone ? nullptr : powers.get(),
            .stride = kStride,
            .pairs = sums_alone ? nullptr : pairs.data()};
  }
};

using Exponentials = void (*)(const float*, const LogitTile&);

void expect_exponentials(Exponentials exponentials, std::int64_t rows) {
  std::vector<float> logits(kLogitRows * kLogitTokens), references(kLogitTokens);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[i] = static_cast<float>(i * 37 % 211) * 0.17F - 20.0F;
  }
  for (std::size_t t = 0; t < references.size(); ++t) {
    references[t] = static_cast<float>(t) * 0.3F - 9.0F;
  }
  logits[3] = -std::numeric_limits<float>::infinity();
  logits[4] = -500.0F;
  Tile tile, alone;
  exponentials(logits.data(), tile.of(rows, references));
  exponentials(logits.data(), alone.of(rows, references, true));
  EXPECT_EQ(alone.sums, tile.sums);
  EXPECT_EQ(alone.peaks, tile.peaks);
  for (std::int64_t t = 0; t < kLogitTokens; ++t) {
    double sum = 0;
    float peak = -30.0F;
    for (std::int64_t i = 0; i < kLogitRows; ++i) {
      const float logit = logits[i * kLogitTokens + t];
      const std::uint32_t pair = tile.pairs[i / 2 * kLogitTokens + t];
      const auto half = static_cast<std::uint16_t>(i % 2 == 0 ? pair : pair >> 16);
      if (i >= rows) {
        EXPECT_EQ(half, 0) << i;
        continue;
      }
      const double power = std::exp(static_cast<double>(logit) - references[t]);
      const c10::BFloat16 narrow = tile.powers.get()[i * Tile::kStride + t];
      EXPECT_EQ(narrow.x, half);
      EXPECT_NEAR(static_cast<float>(narrow), power, power / 255 + 1e-37) << i << ", " << t;
      sum += power;
      peak = std::max(peak, logit);
    }
    EXPECT_NEAR(tile.sums[t], sum, 2e-6 * sum + 1e-37);
    EXPECT_EQ(tile.peaks[t], peak);
  }
}

void expect_marked_sums(Exponentials exponentials) {
  std::vector<float> logits(kLogitRows * kLogitTokens), references(kLogitTokens);
  logits[2 * kLogitTokens + 7] = std::numeric_limits<float>::quiet_NaN();
  logits[1 * kLogitTokens + 8] = 1000.0F;
  Tile tile;
  exponentials(logits.data(), tile.of(kLogitRows, references));
  EXPECT_TRUE(std::isnan(tile.sums[7]));
  EXPECT_FALSE(std::isfinite(tile.sums[8]));
  EXPECT_EQ(tile.sums[9], 64.0F);
}

TEST(LogitExponentials, PlainOnesMatchTheLibrary) {
  for (const std::int64_t rows : {1, 2, 33, 64}) {
    expect_exponentials(plain_exponentials_of_logits, rows);
  }
  expect_marked_sums(plain_exponentials_of_logits);
}

TEST(LogitExponentials, HandWrittenOnesMatchTheLibrary) {
  if (!has_avx512_bf16()) GTEST_SKIP() << "no AVX-512 with bf16";
  for (const std::int64_t rows : {1, 2, 33, 64}) {
    expect_exponentials(avx512_exponentials_of_logits, rows);
  }
  expect_marked_sums(avx512_exponentials_of_logits);
}

}  // namespace
}  // namespace hetmoe
