#include "core/kernels/generator_head.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/kernels/factorised_adapter.h"
#include "core/kernels/packed_product.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

GeneratorHead random_head(const char* name, std::int64_t outputs, std::int64_t hidden,
                          at::ScalarType type) {
  const auto wide = at::TensorOptions(type == at::kDouble ? at::kDouble : at::kFloat);
  return {test_values(name, {outputs, hidden}, 0.3).to(type),
          test_values(name, {outputs}, 0.3).to(type), at::zeros({outputs, hidden}, wide),
          at::zeros({outputs}, wide)};
}

AdapterHeads random_heads(std::int64_t features, std::int64_t rank, std::int64_t hidden,
                          at::ScalarType type = at::kDouble) {
  return {random_head("down", features * rank, hidden, type),
          random_head("up", rank * features, hidden, type),
          random_head("down_bias", rank, hidden, type),
          random_head("up_bias", features, hidden, type)};
}

struct HeadShape {
  std::int64_t rows, hidden, outputs;
};

TEST(GeneratorHead, GivesValuesAndGradientsOfTheFormula) {
  for (const auto& [rows, hidden, outputs] :
       {HeadShape{1, 32, 1}, {40, 96, 1000}, {168, 128, 4160}, {300, 64, 65}, {9, 20, 33}}) {
    for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
      SCOPED_TRACE(testing::Message() << rows << " rows, h " << hidden << ", N " << outputs);
      const bool is_bfloat = type == at::kBFloat16;
      GeneratorHead head = random_head("head", outputs, hidden, type);
      const at::Tensor code = test_values("code", {rows, hidden}).to(type);
      const at::Tensor exact_code = code.to(at::kDouble);
      const at::Tensor exact_weight = head.weight.to(at::kDouble);
      const at::Tensor dout =
          test_values("dout", {rows, outputs}).to(head.bias_gradient.scalar_type());
      const double tolerance = type == at::kDouble ? 1e-14 : is_bfloat ? 5e-3 : 1e-6;

      EXPECT_LT(relative_difference(generator_head_forward(code, head),
                                    exact_code.mm(exact_weight.t()).add(head.bias.to(at::kDouble))),
                tolerance);
      const at::Tensor dcode = generator_head_backward(dout, code, head);
      EXPECT_LT(relative_difference(dcode, dout.to(at::kDouble).mm(exact_weight)), tolerance);
      EXPECT_LT(relative_difference(head.weight_gradient, dout.to(at::kDouble).t().mm(exact_code)),
                tolerance);
      EXPECT_LT(relative_difference(head.bias_gradient, dout.to(at::kDouble).sum(0)), 1e-6);

      const at::Tensor once = head.weight_gradient.clone();
      generator_head_backward(dout, code, head);
      EXPECT_LT(relative_difference(head.weight_gradient, once.mul(2)), 1e-6);
    }
  }
}

TEST(GeneratorHead, TakesNoRows) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    GeneratorHead head = random_head("head", 70, 32, type);
    const at::Tensor code = at::empty({0, 32}, at::TensorOptions(type));
    EXPECT_EQ(generator_head_forward(code, head).size(1), 70);
    const at::Tensor dout = at::empty({0, 70}, at::TensorOptions(at::kFloat));
    EXPECT_EQ(generator_head_backward(dout, code, head).size(1), 32);
    EXPECT_EQ(head.weight_gradient.abs().max().item<float>(), 0);
  }
}

TEST(GeneratorHead, BitsDoNotDependOnThreads) {
  const at::Tensor code = test_values("code", {40, 64}).to(at::kBFloat16);
  const at::Tensor dout = test_values("dout", {40, 9000}).to(at::kFloat);
  at::Tensor dcode[2], gradient[2];
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    GeneratorHead head = random_head("head", 9000, 64, at::kBFloat16);
    dcode[threads - 1] = generator_head_backward(dout, code, head);
    gradient[threads - 1] = head.weight_gradient;
  }
  at::set_num_threads(1);
  EXPECT_TRUE(dcode[0].equal(dcode[1]));
  EXPECT_TRUE(gradient[0].equal(gradient[1]));
}

/// Weights of down lie features first, those of up units first.
TEST(AdapterHeads, FlatIndexIsFeatureMajorForDownAndUnitMajorForUp) {
  constexpr std::int64_t kFeatures = 3;
  constexpr std::int64_t kRank = 2;
  AdapterHeads heads = random_heads(kFeatures, kRank, 4);
  const at::Tensor code = test_values("code", {2, 4});
  const Adapters adapters = generate_adapters(code, heads);
  const auto made = [&](const GeneratorHead& head, std::int64_t flat) {
    return inner_product(head.weight[flat], code[1]) + head.bias[flat].item<double>();
  };
  for (std::int64_t f = 0; f < kFeatures; ++f) {
    EXPECT_NEAR(adapters.up_bias[1][f].item<double>(), made(heads.up_bias, f), 1e-14);
    for (std::int64_t j = 0; j < kRank; ++j) {
      EXPECT_NEAR(adapters.down[1][f][j].item<double>(), made(heads.down, f * kRank + j), 1e-14);
      EXPECT_NEAR(adapters.up[1][j][f].item<double>(), made(heads.up, j * kFeatures + f), 1e-14);
      EXPECT_NEAR(adapters.down_bias[1][j].item<double>(), made(heads.down_bias, j), 1e-14);
    }
  }
}

void expect_same_gradients(const AdapterHeads& heads, const AdapterHeads& expected,
                           double tolerance) {
  for (const auto head :
       {&AdapterHeads::down, &AdapterHeads::up, &AdapterHeads::down_bias, &AdapterHeads::up_bias}) {
    EXPECT_LT(relative_difference((heads.*head).weight_gradient, (expected.*head).weight_gradient),
              tolerance);
    EXPECT_LT(relative_difference((heads.*head).bias_gradient, (expected.*head).bias_gradient),
              tolerance);
  }
}

struct FactorisedShape {
  std::vector<std::int64_t> sizes;
  std::int64_t features, rank, hidden;
};

TEST(FactorisedAdapter, EqualsGeneratedOnesInValuesAndGradients) {
  // The last shape has 32 KiB between its products per token, so that its tokens go in two chunks.
  for (const auto& [sizes, features, rank, hidden] : {FactorisedShape{{3, 0, 4}, 5, 3, 4},
                                                      {{1}, 4, 1, 7},
                                                      {{0, 0}, 3, 2, 2},
                                                      {{900, 0, 301}, 3, 64, 64}}) {
    TokenGroups groups;
    for (const std::int64_t size : sizes) {
      for (std::int64_t i = 0; i < size; ++i) {
        groups.token.push_back(static_cast<std::int64_t>(groups.token.size()));
      }
      groups.begin.push_back(static_cast<std::int64_t>(groups.token.size()));
    }
    std::reverse(groups.token.begin(), groups.token.end());
    const auto tokens = static_cast<std::int64_t>(groups.token.size());
    const at::Tensor x = test_values("x", {tokens, features});
    const at::Tensor dy = test_values("dy", {tokens, features});
    const at::Tensor code = test_values("code", {groups.size(), hidden}).abs();
    AdapterHeads heads = random_heads(features, rank, hidden);
    const Adapters adapters = generate_adapters(code, heads);
    const AdapterForward expected = adapter_forward(x, groups, adapters);
    Adapters gradients = zero_gradients_of(adapters);
    const at::Tensor expected_dx =
        adapter_backward(dy, x, groups, adapters, expected.hidden, gradients);
    const at::Tensor expected_dcode = generate_adapters_backward(gradients, code, heads);

    AdapterHeads factorised = random_heads(features, rank, hidden);
    const AdapterForward forward = factorised_adapter_forward(x, groups, code, factorised);
    EXPECT_LT(relative_difference(forward.y, expected.y), 1e-12);
    EXPECT_LT(relative_difference(forward.hidden, expected.hidden), 1e-12);
    const FactorisedBackward backward =
        factorised_adapter_backward(dy, x, groups, code, forward.hidden, factorised);
    EXPECT_LT(relative_difference(backward.dx, expected_dx), 1e-12);
    EXPECT_LT(relative_difference(backward.dcode, expected_dcode), 1e-12);
    expect_same_gradients(factorised, heads, 1e-12);
  }
}

TEST(FactorisedAdapter, AgreesWithGeneratedOnesInBfloat) {
  TokenGroups groups;
  for (std::int64_t t = 0; t < 60; ++t) groups.token.push_back(t);
  groups.begin = {0, 25, 60};
  const at::Tensor x = test_values("x", {60, 32}).to(at::kBFloat16);
  const at::Tensor dy = test_values("dy", {60, 32}).to(at::kBFloat16);
  const at::Tensor code = test_values("code", {2, 32}).abs().to(at::kBFloat16);
  AdapterHeads heads = random_heads(32, 32, 32, at::kBFloat16);
  const Adapters adapters = generate_adapters(code, heads);
  const AdapterForward expected = adapter_forward(x, groups, adapters);
  Adapters gradients = zero_gradients_of(adapters);
  const at::Tensor expected_dx =
      adapter_backward(dy, x, groups, adapters, expected.hidden, gradients);
  generate_adapters_backward(gradients, code, heads);
  AdapterHeads factorised = random_heads(32, 32, 32, at::kBFloat16);
  const AdapterForward forward = factorised_adapter_forward(x, groups, code, factorised);
  EXPECT_LT(relative_difference(forward.y, expected.y), 2e-2);
  const FactorisedBackward backward =
      factorised_adapter_backward(dy, x, groups, code, forward.hidden, factorised);
  EXPECT_LT(relative_difference(backward.dx, expected_dx), 4e-2);
  expect_same_gradients(factorised, heads, 4e-2);
}

}  // namespace
}  // namespace hetmoe
