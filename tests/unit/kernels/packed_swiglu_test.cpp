#include "core/kernels/packed_swiglu.h"
#include "core/kernels/processor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kTile = kSwigluUnits * kSwigluTokens;
constexpr std::int64_t kStride = 96;

struct Inputs {
  std::vector<float> g, u, z, gates;
};

Inputs make_inputs() {
  const auto values = [](const char* name, double deviation, std::int64_t count) {
    const at::Tensor drawn = test_values(name, {count}, deviation);
    const double* first = drawn.const_data_ptr<double>();
    return std::vector<float>(first, first + count);
  };
  Inputs in{values("g", 4.0, kTile), values("u", 1.0, kTile), values("z", 0.1, kTile),
            values("gate", 0.3, kSwigluTokens)};
  for (float& gate : in.gates) gate = std::abs(gate);
  const float awkward[] = {0.0F, -0.0F, 120.0F, -120.0F, 88.5F, -88.5F, 1e-20F};
  std::copy(std::begin(awkward), std::end(awkward), in.g.begin());
  return in;
}

/// Everything that both directions write, for a tile of this size.
struct Outputs {
  std::vector<c10::BFloat16> saved_gate, saved_up, hidden, gate, up;
  std::vector<std::uint32_t> hidden_pairs, gate_pairs, up_pairs;
  std::vector<float> token_sums;
};

template <typename Forward, typename Backward>
Outputs run(const Inputs& in, std::int64_t units, std::int64_t tokens, Forward forward,
            Backward backward) {
  const std::vector<c10::BFloat16> rows(kSwigluUnits * kStride);
  const std::vector<std::uint32_t> pairs(kTile / 2, 0xdeadbeefU);
  Outputs out{rows, rows, rows, rows, rows, pairs, pairs, pairs, {}};
  out.token_sums.assign(kSwigluTokens, 1.0F);
  const SwigluTile tile{units, tokens, in.gates.data(), out.saved_gate.data(), out.saved_up.data()};
  forward(in.g.data(), in.u.data(), tile, out.hidden_pairs.data());
  backward(in.z.data(), tile,
           SwigluGradients{out.hidden.data(), out.gate.data(), out.up.data(), kStride,
                           out.gate_pairs.data(), out.up_pairs.data()},
           out.token_sums.data());
  return out;
}

void expect_close(c10::BFloat16 value, double expected, const char* what) {
  ASSERT_NEAR(static_cast<float>(value), expected, 1e-30 + std::abs(expected) / 250) << what;
}

/// Against the formulas in double.
void expect_right(const Outputs& out, const Inputs& in, std::int64_t units, std::int64_t tokens) {
  std::vector<double> sums(tokens, 1.0);
  for (std::int64_t i = 0; i < units; ++i) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int64_t at = i * kSwigluTokens + t;
      const double gate = in.gates[t];
      expect_close(out.saved_gate[i * tokens + t], in.g[at], "g");
      expect_close(out.saved_up[i * tokens + t], in.u[at], "u");
      const auto half = [&](const std::vector<std::uint32_t>& pairs) {
        const std::uint32_t word = pairs[i / 2 * kSwigluTokens + t];
        return c10::BFloat16(static_cast<std::uint16_t>(i % 2 == 0 ? word : word >> 16),
                             c10::BFloat16::from_bits());
      };
      const double g = in.g[at];
      expect_close(half(out.hidden_pairs), gate * g / (1 + std::exp(-g)) * in.u[at], "hidden");

      const double x = static_cast<float>(out.saved_gate[i * tokens + t]);
      const double y = static_cast<float>(out.saved_up[i * tokens + t]);
      const double s = 1 / (1 + std::exp(-x));
      const double da = gate * in.z[at];
      expect_close(out.hidden[i * kStride + t], gate * x * s * y, "gated hidden");
      expect_close(out.up[i * kStride + t], da * x * s, "gradient of up");
      // The derivative of silu crosses 0, where its terms cancel.
      ASSERT_NEAR(static_cast<float>(out.gate[i * kStride + t]), da * y * s * (1 + x * (1 - s)),
                  std::abs(da * y) * 5e-3 + 1e-30);
      ASSERT_EQ(half(out.gate_pairs).x, out.gate[i * kStride + t].x);
      ASSERT_EQ(half(out.up_pairs).x, out.up[i * kStride + t].x);
      sums[t] += x * s * y * in.z[at];
    }
  }
  for (std::int64_t t = 0; t < tokens; ++t) ASSERT_NEAR(out.token_sums[t], sums[t], 1e-4);
  for (const auto* pairs : {&out.hidden_pairs, &out.gate_pairs, &out.up_pairs}) {
    for (std::int64_t i = (units + 1) / 2 * kSwigluTokens; i < kTile / 2; ++i) {
      ASSERT_EQ((*pairs)[i], 0U);
    }
    if (units % 2 == 0) continue;
    for (std::int64_t t = 0; t < tokens; ++t) {
      ASSERT_EQ((*pairs)[units / 2 * kSwigluTokens + t] >> 16, 0U);
    }
  }
}

const std::pair<std::int64_t, std::int64_t> kTiles[] = {{64, 64}, {64, 16}, {1, 48}, {17, 32}};

TEST(PackedSwiglu, PlainLoopsFollowTheFormulas) {
  const Inputs in = make_inputs();
  for (const auto& [units, tokens] : kTiles) {
    expect_right(run(in, units, tokens, plain_swiglu_forward, plain_swiglu_backward), in, units,
                 tokens);
  }
}

TEST(PackedSwiglu, HandWrittenOnesFollowTheFormulas) {
  if (!has_avx512_bf16()) GTEST_SKIP() << "no AVX-512 with bf16 on this processor";
  const Inputs in = make_inputs();
  for (const auto& [units, tokens] : kTiles) {
    expect_right(run(in, units, tokens, avx512_swiglu_forward, avx512_swiglu_backward), in, units,
                 tokens);
  }
}

TEST(PackedSwiglu, NanStaysNan) {
  Inputs in = make_inputs();
  in.g[5] = std::numeric_limits<float>::quiet_NaN();
  const auto expect_nan = [&](const Outputs& out) {
    for (const c10::BFloat16 value : {out.saved_gate[5], out.hidden[5], out.gate[5], out.up[5]}) {
      EXPECT_TRUE(std::isnan(static_cast<float>(value)));
    }
    EXPECT_TRUE(std::isnan(out.token_sums[5]));
    EXPECT_FALSE(std::isnan(out.token_sums[6]));
  };
  expect_nan(run(in, 2, 16, plain_swiglu_forward, plain_swiglu_backward));
  if (has_avx512_bf16()) {
    expect_nan(run(in, 2, 16, avx512_swiglu_forward, avx512_swiglu_backward));
  }
}

}  // namespace
}  // namespace hetmoe
