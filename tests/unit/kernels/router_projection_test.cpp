#include "core/kernels/router_projection.h"

#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

struct Sizes {
  std::int64_t rows, columns, experts;
};

class RouterProjection : public testing::TestWithParam<Sizes> {};

/// What is measured in bf16 gets its rounding, what is not that of fp32.
double allowed(at::ScalarType rounded) {
  return rounded == at::kBFloat16 ? 3e-3 : (rounded == at::kFloat ? 1e-6 : 1e-14);
}

TEST_P(RouterProjection, IsAProductInTheArithmeticType) {
  const auto [rows, columns, experts] = GetParam();
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const at::ScalarType wide = type == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor x = test_values("x", {rows, columns}).to(type);
    const at::Tensor weight = test_values("weight", {experts, columns}).to(type);
    const at::Tensor exact = at::mm(x.to(at::kDouble), weight.to(at::kDouble).t());
    const at::Tensor logits = router_logits(x, weight);
    ASSERT_EQ(logits.scalar_type(), wide);
    EXPECT_LT(relative_difference(logits, exact), allowed(wide));
  }
}

TEST_P(RouterProjection, GradientsAreAddedAndWritten) {
  const auto [rows, columns, experts] = GetParam();
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const at::ScalarType wide = type == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor x = test_values("x", {rows, columns}).to(type);
    const at::Tensor weight = test_values("weight", {experts, columns}).to(type);
    const at::Tensor dlogits = test_values("dlogits", {rows, experts}).to(wide);
    const at::Tensor before = test_values("before", {rows, columns}).to(type);
    const at::Tensor expected_dx =
        before.to(at::kDouble) + at::mm(dlogits.to(at::kDouble), weight.to(at::kDouble));
    const at::Tensor expected = at::mm(dlogits.to(at::kDouble).t(), x.to(at::kDouble));

    at::Tensor dx = before.clone();
    at::Tensor gradient = at::full({experts, columns}, std::numeric_limits<double>::quiet_NaN(),
                                   at::TensorOptions(wide));
    router_gradients(dlogits, x, weight, dx, gradient, GradientSum::kBegin);
    EXPECT_LT(relative_difference(dx, expected_dx), allowed(type));
    EXPECT_LT(relative_difference(gradient, expected), allowed(wide));
    router_gradients(dlogits, x, weight, dx, gradient, GradientSum::kContinue);
    EXPECT_LT(relative_difference(gradient, expected.mul(2)), allowed(wide));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RouterProjection,
                         testing::Values(Sizes{1, 1, 1}, Sizes{5, 17, 3}, Sizes{300, 64, 8},
                                         Sizes{513, 33, 20}));

TEST(RouterProjectionOfNoRows, GivesNoneAndWritesZeros) {
  const at::Tensor none = at::full({0, 8}, 0.0);
  const at::Tensor weight = test_values("weight", {4, 8}).to(at::kFloat);
  EXPECT_EQ(router_logits(none, weight).size(0), 0);
  at::Tensor dx = none.clone();
  at::Tensor gradient = at::full({4, 8}, 5.0);
  router_gradients(at::full({0, 4}, 0.0), none, weight, dx, gradient, GradientSum::kBegin);
  EXPECT_EQ(relative_difference(gradient.add(1), at::full({4, 8}, 1.0)), 0.0);
}

}  // namespace
}  // namespace hetmoe
