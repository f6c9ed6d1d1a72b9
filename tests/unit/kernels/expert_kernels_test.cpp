#include "core/kernels/expert_kernels.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kHidden = 12;

SliceWeights make_slice(const char* name, std::int64_t width, at::ScalarType type) {
  SliceWeights slice;
  const std::string text(name);
  slice.gate_up = test_values((text + ".gate_up").c_str(), {2 * width, kHidden}, 0.4).to(type);
  slice.down = test_values((text + ".down").c_str(), {width, kHidden}, 0.4).to(type);
  const auto wide = type == at::kDouble ? at::kDouble : at::kFloat;
  slice.gate_up_gradient = at::zeros({2 * width, kHidden}, at::TensorOptions(wide));
  slice.down_gradient = at::zeros({width, kHidden}, at::TensorOptions(wide));
  return slice;
}

/// Five rows, three slices of widths 17, 1 and 40; row 3 is met by nobody, the second slice by
/// nobody, row 0 by two slices.
struct Case {
  at::Tensor x, dy;
  std::vector<SliceWeights> slices;
  std::vector<SliceRows> rows;
  std::vector<double> gates;

  explicit Case(at::ScalarType type)
      : x(test_values("x", {5, kHidden}).to(type)),
        dy(test_values("dy", {5, kHidden}).to(type)),
        rows{{{0, 2, 4}, {0, 2, 4}}, {{}, {}}, {{0, 1}, {1, 3}}},
        gates{0.25, 0.75, 1.0, 0.5, 0.0} {
    slices.push_back(make_slice("a", 17, type));
    slices.push_back(make_slice("b", 1, type));
    slices.push_back(make_slice("c", 40, type));
  }
};

class EveryKernel : public testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<ExpertKernels> kernels() {
    return GetParam() ? make_reference_expert_kernels() : make_cpu_expert_kernels();
  }
};

TEST_P(EveryKernel, GradientsMatchFiniteDifferences) {
  Case c(at::kDouble);
  const auto value = [&] {
    return inner_product(kernels()->forward(c.x, c.slices, c.rows, c.gates).y, c.dy);
  };
  ExpertForward forward = kernels()->forward(c.x, c.slices, c.rows, c.gates);
  EXPECT_EQ(forward.y[3].abs().sum().item<double>(), 0.0);
  const ExpertBackward backward = kernels()->backward(c.dy, c.slices, *forward.context);
  EXPECT_LT(relative_gradient_error(value, c.x, backward.dx), 1e-7);
  for (SliceWeights& slice : c.slices) {
    EXPECT_LT(relative_gradient_error(value, slice.gate_up, slice.gate_up_gradient), 1e-7);
    EXPECT_LT(relative_gradient_error(value, slice.down, slice.down_gradient), 1e-7);
  }
  for (std::size_t i = 0; i < c.gates.size(); ++i) {
    const double kept = c.gates[i];
    c.gates[i] = kept + 1e-5;
    const double above = value();
    c.gates[i] = kept - 1e-5;
    const double below = value();
    c.gates[i] = kept;
    EXPECT_NEAR(backward.dgates[i], (above - below) / 2e-5, 1e-7) << i;
  }
}

TEST_P(EveryKernel, GradientsAddToWhatIsThere) {
  Case once(at::kDouble);
  auto forward = kernels()->forward(once.x, once.slices, once.rows, once.gates);
  kernels()->backward(once.dy, once.slices, *forward.context);
  Case twice(at::kDouble);
  for (int i = 0; i < 2; ++i) {
    forward = kernels()->forward(twice.x, twice.slices, twice.rows, twice.gates);
    kernels()->backward(twice.dy, twice.slices, *forward.context);
  }
  EXPECT_LT(relative_difference(twice.slices[0].down_gradient, once.slices[0].down_gradient.mul(2)),
            1e-14);
}

TEST_P(EveryKernel, AcceptsNoRowsAndNoSlices) {
  const at::Tensor none = at::zeros({0, kHidden}, at::TensorOptions(at::kFloat));
  auto forward = kernels()->forward(none, {}, {}, {});
  EXPECT_EQ(forward.y.size(0), 0);
  EXPECT_EQ(kernels()->backward(none, {}, *forward.context).dx.size(1), kHidden);
}

INSTANTIATE_TEST_SUITE_P(Kernels, EveryKernel, testing::Values(true, false),
                         [](const auto& kind) { return kind.param ? "reference" : "cpu"; });

TEST(ExpertKernels, SlicesOfOneExpertSumToTheWholeExpert) {
  const at::Tensor x = test_values("x", {6, kHidden});
  const at::Tensor dy = test_values("dy", {6, kHidden});
  SliceWeights whole = make_slice("whole", 21, at::kDouble);
  std::vector<std::int64_t> all(6);
  std::iota(all.begin(), all.end(), 0);
  const SliceRows rows{all, all};
  const std::vector<double> gates = {1, 0.5, 0.25, 0.75, 0.1, 0.9};
  const auto kernels = make_cpu_expert_kernels();
  std::vector<SliceWeights> one = {whole};
  auto expected = kernels->forward(x, one, {rows}, gates);
  const auto expected_back = kernels->backward(dy, one, *expected.context);

  for (std::int64_t cut : {1, 8, 20}) {
    std::vector<SliceWeights> parts;
    for (auto [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, cut}, {cut, 21}}) {
      const std::int64_t width = end - begin;
      parts.push_back({at::cat({whole.gate_up.narrow(0, begin, width),
                                whole.gate_up.narrow(0, 21 + begin, width)}),
                       whole.down.narrow(0, begin, width).contiguous(),
                       at::zeros({2 * width, kHidden}, x.options()),
                       at::zeros({width, kHidden}, x.options())});
    }
    auto forward = kernels->forward(x, parts, {rows, rows}, gates);
    const auto backward = kernels->backward(dy, parts, *forward.context);
    EXPECT_LT(relative_difference(forward.y, expected.y), 1e-13);
    EXPECT_LT(relative_difference(backward.dx, expected_back.dx), 1e-13);
    EXPECT_LT(relative_difference(at::cat({parts[0].down_gradient, parts[1].down_gradient}),
                                  whole.down_gradient),
              1e-13);
    for (std::size_t i = 0; i < gates.size(); ++i) {
      EXPECT_NEAR(backward.dgates[i], expected_back.dgates[i], 1e-12);
    }
  }
}

TEST(ExpertKernels, FastVersionAgreesWithTheReferenceInEveryType) {
  for (auto [type, tolerance] : {std::pair{at::kDouble, 1e-13}, std::pair{at::kFloat, 1e-5},
                                 std::pair{at::kBFloat16, 1.5e-2}}) {
    Case slow(type);
    Case fast(type);
    auto a = make_reference_expert_kernels()->forward(slow.x, slow.slices, slow.rows, slow.gates);
    auto b = make_cpu_expert_kernels()->forward(fast.x, fast.slices, fast.rows, fast.gates);
    EXPECT_LT(relative_difference(b.y, a.y), tolerance);
    const auto da = make_reference_expert_kernels()->backward(slow.dy, slow.slices, *a.context);
    const auto db = make_cpu_expert_kernels()->backward(fast.dy, fast.slices, *b.context);
    EXPECT_LT(relative_difference(db.dx, da.dx), tolerance);
    EXPECT_LT(relative_difference(fast.slices[2].gate_up_gradient, slow.slices[2].gate_up_gradient),
              tolerance);
    EXPECT_LT(relative_difference(fast.slices[0].down_gradient, slow.slices[0].down_gradient),
              tolerance);
  }
}

TEST(ExpertKernels, GateAndUpMadeAgainGiveTheSameBits) {
  for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    Case kept(type);
    Case again(type);
    const auto keeping = make_cpu_expert_kernels();
    const auto repeating = make_cpu_expert_kernels(GateUpProducts::kComputedAgain);
    auto a = keeping->forward(kept.x, kept.slices, kept.rows, kept.gates);
    auto b = repeating->forward(again.x, again.slices, again.rows, again.gates);
    EXPECT_TRUE(a.y.equal(b.y));
    const auto da = keeping->backward(kept.dy, kept.slices, *a.context);
    const auto db = repeating->backward(again.dy, again.slices, *b.context);
    EXPECT_TRUE(da.dx.equal(db.dx));
    EXPECT_EQ(da.dgates, db.dgates);
    for (std::size_t i = 0; i < kept.slices.size(); ++i) {
      EXPECT_TRUE(kept.slices[i].gate_up_gradient.equal(again.slices[i].gate_up_gradient));
      EXPECT_TRUE(kept.slices[i].down_gradient.equal(again.slices[i].down_gradient));
    }
  }
}

}  // namespace
}  // namespace hetmoe
