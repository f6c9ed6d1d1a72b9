#include "core/kernels/attention_scores.h"
#include "core/kernels/processor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kQueries = kScoreQueries;
constexpr float kScale = 0.125F;

struct Kernels {
  decltype(&plain_softmax_tile) softmax;
  decltype(&plain_score_gradient_tile) gradient;
};

/// All that the processor has.
std::vector<Kernels> all_kernels() {
  std::vector<Kernels> all{{plain_softmax_tile, plain_score_gradient_tile}};
  if (has_avx512_bf16()) {
    all.push_back({avx512_softmax_tile, avx512_score_gradient_tile});
  }
  return all;
}

/// A tile of keys from first_key on, for a block of queries from first_query on.
struct Case {
  std::int64_t first_key, keys, first_query, queries;
  std::int64_t document;  ///< tokens of one
};

struct Tile {
  std::vector<std::int32_t> first_seen, last_seen;
  std::vector<float> scores, dprobabilities;
  ScoreTile tile;

  explicit Tile(const Case& c) : tile{c.first_key, c.keys, kScale, nullptr, nullptr} {
    for (std::int64_t q = 0; q < kQueries; ++q) {
      const std::int64_t position = c.first_query + std::min(q, c.queries - 1);
      first_seen.push_back(static_cast<std::int32_t>(position / c.document * c.document));
      last_seen.push_back(static_cast<std::int32_t>(position));
    }
    tile.first_seen = first_seen.data();
    tile.last_seen = last_seen.data();
    scores = drawn("scores", 12.0);
    dprobabilities = drawn("dprobabilities", 1.0);
  }
  /// NaN where no key is: nobody may look at it.
  std::vector<float> drawn(const char* name, double deviation) const {
    const at::Tensor values = test_values(name, {tile.keys * kQueries}, deviation);
    const double* first = values.const_data_ptr<double>();
    std::vector<float> all(first, first + tile.keys * kQueries);
    all.resize(tile.padded_rows() * kQueries, std::numeric_limits<float>::quiet_NaN());
    return all;
  }
  bool seen(std::int64_t row, std::int64_t query) const {
    const std::int64_t key = tile.first_key + row;
    return row < tile.keys && key >= first_seen[query] && key <= last_seen[query];
  }
};

float half(const std::vector<std::uint32_t>& pairs, std::int64_t row, std::int64_t query) {
  const std::uint32_t word = pairs[row / 2 * kQueries + query];
  return BFloat16(static_cast<std::uint16_t>(row % 2 == 0 ? word : word >> 16),
                  BFloat16::from_bits());
}

void expect_softmax(const Tile& t, const RunningSoftmax& earlier, const RunningSoftmax& now,
                    const std::vector<std::uint32_t>& pairs) {
  for (std::int64_t q = 0; q < kQueries; ++q) {
    double peak = earlier.peak[q];
    for (std::int64_t row = 0; row < t.tile.keys; ++row) {
      if (t.seen(row, q)) peak = std::max<double>(peak, t.scores[row * kQueries + q]);
    }
    ASSERT_EQ(now.peak[q], static_cast<float>(peak));
    const double correction = std::exp(kScale * (earlier.peak[q] - peak));
    double sum = earlier.sum[q] * correction;
    ASSERT_NEAR(now.correction[q], correction, 1e-6);
    for (std::int64_t row = 0; row < t.tile.padded_rows(); ++row) {
      const double p =
          t.seen(row, q) ? std::exp(kScale * (t.scores[row * kQueries + q] - peak)) : 0;
      ASSERT_NEAR(half(pairs, row, q), p, p / 250) << "row " << row << ", query " << q;
      sum += p;
    }
    ASSERT_NEAR(now.sum[q], sum, 1e-5 * sum);
  }
}

class AttentionScores : public testing::TestWithParam<Case> {};

TEST_P(AttentionScores, SoftmaxFollowsTheFormulas) {
  const Tile t(GetParam());
  for (const Kernels& kernels : all_kernels()) {
    RunningSoftmax softmax;
    softmax.reset();
    std::vector<std::uint32_t> pairs(t.tile.padded_rows() / 2 * kQueries, 0xdeadbeefU);
    RunningSoftmax earlier = softmax;
    kernels.softmax(t.scores.data(), t.tile, softmax, pairs.data());
    expect_softmax(t, earlier, softmax, pairs);
    for (std::int64_t q = 0; q < kQueries; ++q) softmax.peak[q] += q % 2 == 0 ? 9.0F : -9.0F;
    earlier = softmax;
    kernels.softmax(t.scores.data(), t.tile, softmax, pairs.data());
    expect_softmax(t, earlier, softmax, pairs);
  }
}

TEST_P(AttentionScores, GradientsFollowTheFormulas) {
  const Tile t(GetParam());
  std::vector<float> log_sum(kQueries), dot(kQueries);
  for (std::int64_t q = 0; q < kQueries; ++q) {
    log_sum[q] = 2.0F + 0.1F * static_cast<float>(q);
    dot[q] = 0.3F - 0.02F * static_cast<float>(q);
  }
  for (const Kernels& kernels : all_kernels()) {
    std::vector<BFloat16> p(t.tile.padded_rows() * kQueries, BFloat16(7.0F)), ds = p;
    std::vector<std::uint32_t> pairs(p.size() / 2, 0xdeadbeefU);
    kernels.gradient(t.scores.data(), t.dprobabilities.data(), t.tile, log_sum.data(), dot.data(),
                     ScoreGradients{p.data(), ds.data(), pairs.data()});
    for (std::int64_t row = 0; row < t.tile.padded_rows(); ++row) {
      for (std::int64_t q = 0; q < kQueries; ++q) {
        const std::int64_t at = row * kQueries + q;
        const bool seen = t.seen(row, q);
        const double expected = seen ? std::exp(kScale * t.scores[at] - log_sum[q]) : 0;
        const double gradient = seen ? expected * (t.dprobabilities[at] - dot[q]) : 0;
        ASSERT_NEAR(p[at], expected, expected / 250) << "row " << row << ", query " << q;
        ASSERT_NEAR(ds[at], gradient, std::abs(gradient) / 250 + expected * 1e-6);
        ASSERT_EQ(half(pairs, row, q), static_cast<float>(ds[at]));
      }
    }
  }
}

// Keys before the queries, those of the queries, the end of a sequence, one key, documents.
INSTANTIATE_TEST_SUITE_P(Tiles, AttentionScores,
                         testing::Values(Case{0, 128, 128, 64, 1000}, Case{0, 64, 0, 64, 1000},
                                         Case{64, 101, 128, 37, 1000}, Case{0, 1, 0, 1, 1000},
                                         Case{128, 192, 256, 64, 23}, Case{64, 65, 128, 1, 70},
                                         Case{0, 64, 64, 64, 64}));

TEST(AttentionScores, NanOfOneQueryIsItsOwn) {
  Tile t(Case{0, 96, 64, 32, 1000});
  t.scores[5 * kQueries + 3] = std::numeric_limits<float>::quiet_NaN();
  for (const Kernels& kernels : all_kernels()) {
    RunningSoftmax softmax;
    softmax.reset();
    std::vector<std::uint32_t> pairs(t.tile.padded_rows() / 2 * kQueries);
    kernels.softmax(t.scores.data(), t.tile, softmax, pairs.data());
    EXPECT_TRUE(std::isnan(half(pairs, 5, 3)));
    EXPECT_TRUE(std::isnan(softmax.sum[3]));
    EXPECT_FALSE(std::isnan(half(pairs, 5, 4)) || std::isnan(softmax.sum[4]));
  }
}

}  // namespace
}  // namespace hetmoe
