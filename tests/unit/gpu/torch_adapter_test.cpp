// Small experts on the emulated device beside those of the CPU, on the same values.
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <observed_device.h>

#include <limits>

#include "core/kernels/factorised_adapter.h"
#include "core/kernels/on_gpu/rows.h"
#include "core/kernels/row_copy.h"
#include "core/tensor/device.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

double tolerance(at::ScalarType type) { return type == at::kFloat ? 1e-6 : 1e-2; }

void expect_same(const at::Tensor& got, const at::Tensor& expected, double limit) {
  ASSERT_EQ(got.scalar_type(), expected.scalar_type());
  ASSERT_EQ(got.sizes(), expected.sizes());
  EXPECT_LT(relative_difference(got.to(at::kCPU).to(at::kDouble), expected.to(at::kDouble)), limit);
}

/// Groups of these sizes of the tokens 0, 1, ..., dealt out from the last to the first in threes.
TokenGroups groups_of(const std::vector<std::int64_t>& sizes) {
  TokenGroups groups;
  for (const std::int64_t size : sizes) groups.begin.push_back(groups.begin.back() + size);
  const std::int64_t total = groups.begin.back();
  for (const std::int64_t first : {1, 0, 2}) {
    for (std::int64_t t = first; t < total; t += 3) groups.token.push_back(total - 1 - t);
  }
  return groups;
}

Adapters adapters_on(at::Device device, std::int64_t count, std::int64_t features,
                     std::int64_t rank, at::ScalarType type) {
  const auto values = [&](const char* name, at::IntArrayRef shape) {
    return test_values(name, shape, 0.5).to(type).to(device);
  };
  return {values("down", {count, features, rank}), values("up", {count, rank, features}),
          values("down_bias", {count, rank}), values("up_bias", {count, features})};
}

struct AdapterCase {
  const char* name;
  at::ScalarType type;
  std::vector<std::int64_t> sizes;
  std::int64_t uncovered = 0;  ///< tokens in no group
  std::int64_t features = 24;
  std::int64_t rank = 8;
};

struct AdapterResult {
  at::Tensor y, dx;
  Adapters gradients;
};

/// Forward and two backward passes, the first of which begins the gradients' sums.
AdapterResult run_adapters(const AdapterCase& c, at::Device device,
                           gpu::GroupedProducts* products) {
  const TokenGroups groups = groups_of(c.sizes);
  const std::int64_t tokens = groups.begin.back() + c.uncovered;
  const auto rows = [&](const char* name) {
    return test_values(name, {tokens, c.features}).to(c.type).to(device);
  };
  const at::Tensor x = rows("x"), dy = rows("dy");
  const Adapters adapters = adapters_on(device, groups.size(), c.features, c.rank, c.type);
  const AdapterForward forward = adapter_forward(x, groups, adapters, products);
  AdapterResult result{forward.y, {}, empty_gradients_of(adapters)};
  for (at::Tensor* part : {&result.gradients.down, &result.gradients.up,
                           &result.gradients.down_bias, &result.gradients.up_bias}) {
    part->fill_(std::numeric_limits<float>::quiet_NaN());
  }
  adapter_backward(dy, x, groups, adapters, forward.hidden, result.gradients, GradientSum::kBegin,
                   products);
  result.dx = adapter_backward(dy.neg().mul_(0.25), x, groups, adapters, forward.hidden,
                               result.gradients, GradientSum::kContinue, products);
  return result;
}

class GpuAdapter : public testing::TestWithParam<AdapterCase> {};

TEST_P(GpuAdapter, values_and_gradients_are_those_of_the_cpu_and_the_host_does_not_wait) {
  const double limit = tolerance(GetParam().type);
  const auto products = make_group_products(gpu_device());
  const std::uint64_t waits = test::host_waits_so_far();
  const AdapterResult there = run_adapters(GetParam(), gpu_device(), products.get());
  EXPECT_EQ(test::host_waits_so_far(), waits);
  const AdapterResult here = run_adapters(GetParam(), at::kCPU, nullptr);
  expect_same(there.y, here.y, limit);
  expect_same(there.dx, here.dx, limit);
  expect_same(there.gradients.down, here.gradients.down, limit);
  expect_same(there.gradients.up, here.gradients.up, limit);
  expect_same(there.gradients.down_bias, here.gradients.down_bias, limit);
  expect_same(there.gradients.up_bias, here.gradients.up_bias, limit);
}

INSTANTIATE_TEST_SUITE_P(
    Adapters, GpuAdapter,
    testing::Values(AdapterCase{"uneven_and_empty_groups", at::kFloat, {0, 3, 0, 70, 1, 0}},
                    AdapterCase{"uneven_and_empty_groups_bf16", at::kBFloat16, {0, 3, 0, 70, 1, 0}},
                    AdapterCase{"every_group_has_tokens", at::kFloat, {3, 66, 1}},
                    AdapterCase{"every_group_has_tokens_bf16", at::kBFloat16, {3, 66, 1}},
                    AdapterCase{"odd_sizes", at::kFloat, {2, 5}, 0, 13, 5},
                    AdapterCase{"odd_sizes_bf16", at::kBFloat16, {2, 5}, 0, 13, 5},
                    AdapterCase{"more_groups_than_calls_bf16",
                                at::kBFloat16,
                                {2, 1, 0, 3, 1, 1, 5, 1, 1, 2, 0, 1, 1, 70, 1, 1, 1, 1, 9, 2}},
                    AdapterCase{"one_group", at::kBFloat16, {150}},
                    AdapterCase{"tokens_in_no_group", at::kFloat, {4, 0, 2}, 3},
                    AdapterCase{"no_token_in_any_group", at::kBFloat16, {0, 0}, 3},
                    AdapterCase{"no_tokens", at::kFloat, {0, 0}},
                    AdapterCase{"no_groups", at::kBFloat16, {}}),
    [](const auto& context) { return context.param.name; });

GeneratorHead head_on(at::Device device, const char* name, std::int64_t outputs,
                      std::int64_t hidden, at::ScalarType type) {
  const auto wide = at::TensorOptions(at::kFloat).device(device);
  return {test_values(name, {outputs, hidden}, 0.3).to(type).to(device),
          test_values(name, {outputs}, 0.3).to(type).to(device),
          at::full({outputs, hidden}, 2, wide), at::full({outputs}, 3, wide)};
}

AdapterHeads heads_on(at::Device device, std::int64_t features, std::int64_t rank,
                      std::int64_t hidden, at::ScalarType type) {
  return {head_on(device, "down", features * rank, hidden, type),
          head_on(device, "up", rank * features, hidden, type),
          head_on(device, "down_bias", rank, hidden, type),
          head_on(device, "up_bias", features, hidden, type)};
}

void expect_same_gradients(const AdapterHeads& there, const AdapterHeads& here, double limit) {
  for (const auto head :
       {&AdapterHeads::down, &AdapterHeads::up, &AdapterHeads::down_bias, &AdapterHeads::up_bias}) {
    expect_same((there.*head).weight_gradient, (here.*head).weight_gradient, limit);
    expect_same((there.*head).bias_gradient, (here.*head).bias_gradient, limit);
  }
}

TEST(GpuGeneratorHead, adapters_and_gradients_are_those_of_the_cpu) {
  constexpr std::int64_t kFeatures = 13, kRank = 5, kHidden = 7;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t rows : {0, 1, 9}) {
      SCOPED_TRACE(testing::Message() << rows << " rows of " << c10::elementSize(type) << " bytes");
      AdapterHeads there = heads_on(gpu_device(), kFeatures, kRank, kHidden, type);
      AdapterHeads here = heads_on(at::kCPU, kFeatures, kRank, kHidden, type);
      const at::Tensor code = test_values("code", {rows, kHidden}).to(type);
      const std::uint64_t waits = test::host_waits_so_far();
      const Adapters made = generate_adapters(code.to(gpu_device()), there);
      const Adapters expected = generate_adapters(code, here);
      const auto gradient = [&](at::Device device) {
        const auto values = [&](const char* name, const at::Tensor& like) {
          return test_values(name, like.sizes()).to(at::kFloat).to(device);
        };
        return Adapters{values("ddown", expected.down), values("dup", expected.up),
                        values("dc", expected.down_bias), values("db", expected.up_bias)};
      };
      const at::Tensor dcode =
          generate_adapters_backward(gradient(gpu_device()), code.to(gpu_device()), there);
      EXPECT_EQ(test::host_waits_so_far(), waits);
      const at::Tensor expected_dcode = generate_adapters_backward(gradient(at::kCPU), code, here);
      expect_same(made.down, expected.down, tolerance(type));
      expect_same(made.up, expected.up, tolerance(type));
      expect_same(made.down_bias, expected.down_bias, tolerance(type));
      expect_same(made.up_bias, expected.up_bias, tolerance(type));
      expect_same(dcode, expected_dcode, tolerance(type));
      expect_same_gradients(there, here, tolerance(type));
    }
  }
}

TEST(GpuFactorisedAdapter, values_and_gradients_are_those_of_the_cpu) {
  constexpr std::int64_t kFeatures = 13, kRank = 5, kHidden = 7;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{1, 2, 0, 70, 1}, {0, 0}, {1}}) {
      const TokenGroups groups = groups_of(sizes);
      AdapterHeads there = heads_on(gpu_device(), kFeatures, kRank, kHidden, type);
      AdapterHeads here = heads_on(at::kCPU, kFeatures, kRank, kHidden, type);
      const at::Tensor code = test_values("code", {groups.size(), kHidden}).to(type);
      const at::Tensor x = test_values("x", {groups.begin.back(), kFeatures}).to(type);
      const at::Tensor dy = test_values("dy", x.sizes()).to(type);
      const auto run = [&](at::Device device, AdapterHeads& heads) {
        AdapterForward forward =
            factorised_adapter_forward(x.to(device), groups, code.to(device), heads);
        FactorisedBackward backward = factorised_adapter_backward(
            dy.to(device), x.to(device), groups, code.to(device), forward.hidden, heads);
        return std::pair(std::move(forward.y), std::move(backward));
      };
      const std::uint64_t waits = test::host_waits_so_far();
      const auto [y, gradient] = run(gpu_device(), there);
      EXPECT_EQ(test::host_waits_so_far(), waits);
      const auto [expected_y, expected] = run(at::kCPU, here);
      expect_same(y, expected_y, tolerance(type));
      expect_same(gradient.dx, expected.dx, tolerance(type));
      expect_same(gradient.dcode, expected.dcode, tolerance(type));
      expect_same_gradients(there, here, tolerance(type));
    }
  }
}

TEST(GpuRowsOfTensors, repeated_rows_are_added_where_the_index_says) {
  const std::vector<std::int64_t> index = {2, 2, 2, 5, 6, 6};
  const at::Tensor x = test_values("x", {6, 11}).to(at::kFloat);
  at::Tensor expected = test_values("sum", {9, 11}).to(at::kFloat);
  at::Tensor sum = expected.to(gpu_device());
  add_repeated_rows(x.to(gpu_device()), index, sum);
  add_repeated_rows(x, index, expected);
  expect_same(sum, expected, 1e-6);
}

TEST(GpuRowsOfTensors, elements_are_added_for_lists_of_any_length) {
  const at::Tensor x = test_values("x", {3, 4}).to(at::kFloat);
  const std::vector<std::int32_t> element = {0, 3, -1, -1, -1, -1, 8, 9, 11};
  const at::Tensor sums = on_gpu::sum_elements(x.to(gpu_device()), element, 3).to(at::kCPU);
  const auto* values = x.const_data_ptr<float>();
  EXPECT_EQ(sums[0].item<float>(), values[0] + values[3]);
  EXPECT_EQ(sums[1].item<float>(), 0);
  EXPECT_EQ(sums[2].item<float>(), values[8] + values[9] + values[11]);
  EXPECT_EQ(on_gpu::sum_elements(x.to(gpu_device()).narrow(0, 0, 0), {}, 1).numel(), 0);
}

}  // namespace
}  // namespace hetmoe
