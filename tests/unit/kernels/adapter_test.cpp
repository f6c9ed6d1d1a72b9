#include "core/kernels/adapter.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "core/kernels/packed_product.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

/// Groups of these sizes of the tokens 0, 1, ..., which are not dealt out in order.
TokenGroups groups_of(const std::vector<std::int64_t>& sizes) {
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) total += size;
  std::vector<std::int64_t> tokens;
  for (const std::int64_t first : {1, 0, 2}) {
    for (std::int64_t t = first; t < total; t += 3) tokens.push_back(t);
  }
  TokenGroups groups;
  for (const std::int64_t size : sizes) {
    const std::int64_t begin = groups.begin.back();
    std::sort(tokens.begin() + begin, tokens.begin() + begin + size);
    groups.begin.push_back(begin + size);
  }
  groups.token = std::move(tokens);
  return groups;
}

Adapters random_adapters(std::int64_t count, std::int64_t features, std::int64_t rank) {
  return {test_values("down", {count, features, rank}, 0.5),
          test_values("up", {count, rank, features}, 0.5),
          test_values("down_bias", {count, rank}, 0.5),
          test_values("up_bias", {count, features}, 0.5)};
}

Adapters converted(const Adapters& adapters, at::ScalarType type) {
  return {adapters.down.to(type), adapters.up.to(type), adapters.down_bias.to(type),
          adapters.up_bias.to(type)};
}

struct Result {
  at::Tensor y, dx;
  Adapters gradients;
};

Result run(const at::Tensor& x, const at::Tensor& dy, const TokenGroups& groups,
           const Adapters& adapters) {
  const AdapterForward forward = adapter_forward(x, groups, adapters);
  Result result{forward.y, {}, zero_gradients_of(adapters)};
  result.dx = adapter_backward(dy, x, groups, adapters, forward.hidden, result.gradients);
  return result;
}

/// Token after token, unit after unit, from the formula; hidden units that are 0 pass nothing back.
Result by_loops(const at::Tensor& x, const at::Tensor& dy, const TokenGroups& groups,
                const Adapters& adapters) {
  const std::int64_t features = x.size(1);
  const std::int64_t rank = adapters.rank();
  Result result{at::zeros(x.sizes(), x.options()), at::zeros(x.sizes(), x.options()),
                zero_gradients_of(adapters)};
  auto in = x.accessor<double, 2>();
  auto d_out = dy.accessor<double, 2>();
  auto out = result.y.accessor<double, 2>();
  auto d_in = result.dx.accessor<double, 2>();
  auto down = adapters.down.accessor<double, 3>();
  auto up = adapters.up.accessor<double, 3>();
  auto down_bias = adapters.down_bias.accessor<double, 2>();
  auto up_bias = adapters.up_bias.accessor<double, 2>();
  auto d_down = result.gradients.down.accessor<double, 3>();
  auto d_up = result.gradients.up.accessor<double, 3>();
  auto d_down_bias = result.gradients.down_bias.accessor<double, 2>();
  auto d_up_bias = result.gradients.up_bias.accessor<double, 2>();
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    for (std::int64_t i = groups.begin[g]; i < groups.begin[g + 1]; ++i) {
      const std::int64_t t = groups.token[i];
      for (std::int64_t f = 0; f < features; ++f) {
        out[t][f] += up_bias[g][f];
        d_up_bias[g][f] += d_out[t][f];
      }
      for (std::int64_t j = 0; j < rank; ++j) {
        double unit = down_bias[g][j];
        for (std::int64_t f = 0; f < features; ++f) unit += in[t][f] * down[g][f][j];
        if (unit <= 0) continue;
        double d_unit = 0;
        for (std::int64_t f = 0; f < features; ++f) {
          out[t][f] += unit * up[g][j][f];
          d_unit += d_out[t][f] * up[g][j][f];
          d_up[g][j][f] += unit * d_out[t][f];
        }
        d_down_bias[g][j] += d_unit;
        for (std::int64_t f = 0; f < features; ++f) {
          d_in[t][f] += d_unit * down[g][f][j];
          d_down[g][f][j] += in[t][f] * d_unit;
        }
      }
    }
  }
  return result;
}

void expect_close(const Result& result, const Result& expected, double of_values,
                  double of_gradients) {
  EXPECT_LT(relative_difference(result.y, expected.y), of_values);
  EXPECT_LT(relative_difference(result.dx, expected.dx), of_gradients);
  EXPECT_LT(relative_difference(result.gradients.down, expected.gradients.down), of_gradients);
  EXPECT_LT(relative_difference(result.gradients.up, expected.gradients.up), of_gradients);
  EXPECT_LT(relative_difference(result.gradients.down_bias, expected.gradients.down_bias),
            of_gradients);
  EXPECT_LT(relative_difference(result.gradients.up_bias, expected.gradients.up_bias),
            of_gradients);
}

TEST(Adapter, GivesTheFormulasValuesAndGradientsForUnevenAndEmptyGroups) {
  const TokenGroups groups = groups_of({3, 0, 7, 1});
  const Adapters adapters = random_adapters(4, 5, 3);
  const at::Tensor x = test_values("x", {11, 5});
  const at::Tensor dy = test_values("dy", {11, 5});
  expect_close(run(x, dy, groups, adapters), by_loops(x, dy, groups, adapters), 1e-14, 1e-14);
}

TEST(Adapter, LeavesTokensInNoGroupAtZero) {
  const TokenGroups groups = groups_of({2, 3});  // tokens 0 to 4 of 7
  const Adapters adapters = random_adapters(2, 4, 3);
  const Result result = run(test_values("x", {7, 4}), test_values("dy", {7, 4}), groups, adapters);
  EXPECT_EQ(result.y.narrow(0, 5, 2).abs().max().item<double>(), 0);
  EXPECT_EQ(result.dx.narrow(0, 5, 2).abs().max().item<double>(), 0);
  EXPECT_GT(result.y.narrow(0, 0, 5).abs().min().item<double>(), 0);
}

TEST(Adapter, TakesNoTokensAndNoGroups) {
  const at::Tensor none = at::empty({0, 4}, at::TensorOptions(at::kDouble));
  const Result result = run(none, none, groups_of({0, 0}), random_adapters(2, 4, 3));
  EXPECT_EQ(result.y.size(0), 0);
  EXPECT_EQ(result.gradients.up.abs().max().item<double>(), 0);
  EXPECT_EQ(run(none, none, TokenGroups{}, random_adapters(0, 4, 3)).y.size(0), 0);
}

struct BfloatShape {
  std::vector<std::int64_t> sizes;
  std::int64_t features;
  std::int64_t rank;
};

/// Packed products where sizes allow, plain ones elsewhere: both against fp64 on the same values.
TEST(Adapter, BfloatAgreesWithDoubleForOddSizes) {
  const std::vector<BfloatShape> shapes = {{{1, 33, 0, 300, 129}, 96, 32},
                                           {{200, 7}, 64, 64},
                                           {{31, 1}, 160, 96},
                                           {{700}, 32, 128},
                                           {{9, 20}, 20, 5}};
  for (const BfloatShape& shape : shapes) {
    SCOPED_TRACE(testing::Message() << "D " << shape.features << ", r " << shape.rank);
    const TokenGroups groups = groups_of(shape.sizes);
    const auto tokens = static_cast<std::int64_t>(groups.token.size());
    const at::Tensor x = test_values("x", {tokens, shape.features}).to(at::kBFloat16);
    const at::Tensor dy = test_values("dy", {tokens, shape.features}).to(at::kBFloat16);
    const Adapters adapters =
        converted(random_adapters(groups.size(), shape.features, shape.rank), at::kBFloat16);
    const Result result = run(x, dy, groups, adapters);
    EXPECT_EQ(result.y.scalar_type(), at::kBFloat16);
    EXPECT_EQ(result.gradients.up.scalar_type(), at::kFloat);
    // Units near 0 fall on either side of the ReLU, so gradients differ by more than rounding.
    expect_close(
        result,
        by_loops(x.to(at::kDouble), dy.to(at::kDouble), groups, converted(adapters, at::kDouble)),
        5e-3, 2e-2);
  }
}

TEST(Adapter, SumsOverTokensAreNotRoundedToBfloat) {
  if (!packed_products_available()) GTEST_SKIP() << "no bf16 products on this processor";
  const TokenGroups groups = groups_of({1000});
  const at::Tensor x = test_values("x", {1000, 64}).to(at::kBFloat16);
  const at::Tensor dy = test_values("dy", {1000, 64}).to(at::kBFloat16);
  const Adapters adapters = converted(random_adapters(1, 64, 32), at::kBFloat16);
  Adapters gradients = zero_gradients_of(adapters);
  const AdapterForward forward = adapter_forward(x, groups, adapters);
  adapter_backward(dy, x, groups, adapters, forward.hidden, gradients);
  const at::Tensor exact = forward.hidden.to(at::kDouble).t().mm(dy.to(at::kDouble));
  EXPECT_LT(relative_difference(gradients.up[0], exact), 1e-5);
  EXPECT_LT(relative_difference(gradients.up_bias[0], dy.to(at::kDouble).sum(0)), 1e-5);
}

TEST(Adapter, ABeginningSumReplacesWhatIsThere) {
  const TokenGroups groups = groups_of({3, 0, 300});
  for (const at::ScalarType type : {at::kDouble, at::kBFloat16}) {
    const Adapters adapters = converted(random_adapters(3, 32, 32), type);
    const at::Tensor x = test_values("x", {303, 32}).to(type);
    const AdapterForward forward = adapter_forward(x, groups, adapters);
    Adapters added = zero_gradients_of(adapters);
    Adapters begun = zero_gradients_of(adapters);
    for (at::Tensor* part : {&begun.down, &begun.up, &begun.down_bias, &begun.up_bias}) {
      part->fill_(std::numeric_limits<double>::quiet_NaN());
    }
    adapter_backward(x, x, groups, adapters, forward.hidden, added);
    adapter_backward(x, x, groups, adapters, forward.hidden, begun, GradientSum::kBegin);
    EXPECT_TRUE(begun.down.equal(added.down) && begun.up.equal(added.up));
    EXPECT_TRUE(begun.down_bias.equal(added.down_bias) && begun.up_bias.equal(added.up_bias));
  }
}

TEST(Adapter, GradientsAddToWhatIsThere) {
  const TokenGroups groups = groups_of({3, 2});
  for (const at::ScalarType type : {at::kDouble, at::kBFloat16}) {
    const Adapters adapters = converted(random_adapters(2, 32, 32), type);
    const at::Tensor x = test_values("x", {5, 32}).to(type);
    const AdapterForward forward = adapter_forward(x, groups, adapters);
    Adapters once = zero_gradients_of(adapters);
    Adapters twice = zero_gradients_of(adapters);
    adapter_backward(x, x, groups, adapters, forward.hidden, once);
    adapter_backward(x, x, groups, adapters, forward.hidden, twice);
    adapter_backward(x, x, groups, adapters, forward.hidden, twice);
    EXPECT_LT(relative_difference(twice.down, once.down.mul(2)), 1e-6);
    EXPECT_LT(relative_difference(twice.up_bias, once.up_bias.mul(2)), 1e-6);
  }
}

}  // namespace
}  // namespace hetmoe
