#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "core/kernels/expert_kernels.h"
#include "core/kernels/linear.h"
#include "core/kernels/packed_product.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

class PackedKernels : public testing::Test {
 protected:
  void SetUp() override {
    if (!packed_products_available()) GTEST_SKIP() << "no bf16 products on this processor";
  }
};

at::Tensor bf16_values(const char* name, at::IntArrayRef shape, double deviation = 1.0) {
  return test_values(name, shape, deviation).to(at::kBFloat16);
}

TEST(PackedMatrix, BothWaysOfPackingGiveTheSamePanels) {
  for (auto [depth, columns] : {std::pair{32, 64}, {33, 65}, {7, 3}, {96, 200}}) {
    const at::Tensor b = bf16_values("b", {depth, columns});
    const at::Tensor transposed = b.t().contiguous();
    PackedMatrix by_rows, by_columns;
    by_rows.reset(depth, columns);
    by_rows.pack_rows(b.const_data_ptr<c10::BFloat16>(), depth, columns, columns);
    by_columns.reset(depth, columns);
    by_columns.pack_columns(transposed.const_data_ptr<c10::BFloat16>(), columns, depth, depth);
    for (std::int64_t p = 0; p < by_rows.panels(); ++p) {
      for (std::int64_t k = 0; k < by_rows.padded_depth(); ++k) {
        for (std::int64_t j = 0; j < 64; ++j) {
          const std::int64_t at = (k / 2 * 64 + j) * 2 + k % 2;
          const std::int64_t column = p * 64 + j;
          const float expected = k < depth && column < columns ? b[k][column].item<float>() : 0.0F;
          ASSERT_EQ(static_cast<float>(by_rows.panel(p)[at]), expected);
          ASSERT_EQ(static_cast<float>(by_columns.panel(p)[at]), expected);
        }
      }
    }
  }
}

TEST(PackedMatrix, ListedRowsAreThoseOfTheirCopy) {
  constexpr std::int64_t kColumns = 70;
  const at::Tensor source = bf16_values("source", {50, kColumns});
  for (const std::int64_t count : {1, 16, 37}) {
    std::vector<std::int64_t> index;
    for (std::int64_t i = 0; i < count; ++i) index.push_back(i * 7 % 50);
    const at::Tensor copy = source.index_select(0, at::tensor(index));
    const auto* from = source.const_data_ptr<c10::BFloat16>();
    const auto* to = copy.const_data_ptr<c10::BFloat16>();
    PackedMatrix listed, copied;
    const auto expect_equal = [&] {
      ASSERT_EQ(listed.panels(), copied.panels());
      for (std::int64_t i = 0; i < listed.panels() * listed.padded_depth() * 64; ++i) {
        ASSERT_EQ(listed.panel(0)[i].x, copied.panel(0)[i].x) << count << " rows, " << i;
      }
    };
    listed.reset(count, kColumns);
    copied.reset(count, kColumns);
    listed.pack_rows(from, count, kColumns, kColumns, 0, index.data());
    copied.pack_rows(to, count, kColumns, kColumns);
    expect_equal();
    listed.reset(kColumns, count);
    copied.reset(kColumns, count);
    listed.pack_columns(from, count, kColumns, kColumns, index.data());
    copied.pack_columns(to, count, kColumns, kColumns);
    expect_equal();
  }
}

TEST_F(PackedKernels, LinearProductsMatchFp32) {
  for (auto [rows, in, out] : {std::tuple{1, 32, 1}, {129, 64, 96}, {300, 96, 65}, {7, 512, 130}}) {
    const at::Tensor x = bf16_values("x", {rows, in});
    const at::Tensor w = bf16_values("w", {out, in});
    const at::Tensor dy = bf16_values("dy", {rows, out});
    EXPECT_LT(
        relative_difference(linear_forward(x, w), at::mm(x.to(at::kFloat), w.to(at::kFloat).t())),
        4e-3);
    EXPECT_LT(relative_difference(linear_input_gradient(dy, w),
                                  at::mm(dy.to(at::kFloat), w.to(at::kFloat))),
              4e-3);
    const at::Tensor exact = at::mm(dy.to(at::kDouble).t(), x.to(at::kDouble));
    at::Tensor gradient = at::ones({out, in}, at::TensorOptions(at::kFloat));
    add_weight_gradient(dy, x, gradient);
    // Inputs are bf16, but sums are fp32 and never rounded to bf16.
    EXPECT_LT(relative_difference(gradient.sub(1), exact), 1e-5);
  }
}

struct Case {
  at::Tensor x, dy;
  std::vector<SliceWeights> slices;
  std::vector<SliceRows> rows;
  std::vector<double> gates;
};

/// Slices of widths 17, 64 and 201 over rows of D = 96: all rows, none, every third.
Case make_case(std::int64_t num_rows) {
  constexpr std::int64_t kHidden = 96;
  Case c;
  c.x = bf16_values("x", {num_rows, kHidden});
  c.dy = bf16_values("dy", {num_rows, kHidden});
  for (std::int64_t width : {17, 64, 201}) {
    const std::string name = std::to_string(width);
    c.slices.push_back({bf16_values(("g" + name).c_str(), {2 * width, kHidden}, 0.15),
                        bf16_values(("d" + name).c_str(), {width, kHidden}, 0.15),
                        at::zeros({2 * width, kHidden}, at::TensorOptions(at::kFloat)),
                        at::zeros({width, kHidden}, at::TensorOptions(at::kFloat))});
  }
  c.rows.resize(3);
  for (std::int64_t row = 0; row < num_rows; ++row) {
    for (int slice : {0, 2}) {
      if (slice == 2 && row % 3 != 0) continue;
      c.rows[slice].row.push_back(row);
      c.rows[slice].selection.push_back(static_cast<std::int64_t>(c.gates.size()));
      c.gates.push_back(0.1 + 0.9 * static_cast<double>(row) / static_cast<double>(num_rows));
    }
  }
  return c;
}

TEST_F(PackedKernels, ExpertsMatchTheReference) {
  auto reference = make_reference_expert_kernels();
  auto packed = make_packed_expert_kernels();
  for (const std::int64_t num_rows : {300, 1, 16, 65, 300}) {  // later ones meet used buffers
    SCOPED_TRACE(num_rows);
    Case slow = make_case(num_rows);
    Case fast = make_case(num_rows);
    auto a = reference->forward(slow.x, slow.slices, slow.rows, slow.gates);
    auto b = packed->forward(fast.x, fast.slices, fast.rows, fast.gates);
    EXPECT_LT(relative_difference(b.y, a.y), 6e-3);
    const auto da = reference->backward(slow.dy, slow.slices, *a.context);
    const auto db = packed->backward(fast.dy, fast.slices, *b.context);
    EXPECT_LT(relative_difference(db.dx, da.dx), 6e-3);
    EXPECT_LT(relative_difference(at::tensor(db.dgates), at::tensor(da.dgates)), 1e-2);
    for (std::size_t i = 0; i < slow.slices.size(); ++i) {
      EXPECT_LT(
          relative_difference(fast.slices[i].gate_up_gradient, slow.slices[i].gate_up_gradient),
          6e-3);
      EXPECT_LT(relative_difference(fast.slices[i].down_gradient, slow.slices[i].down_gradient),
                6e-3);
    }
  }
}

TEST_F(PackedKernels, TwoRunsAreBitEqual) {
  Case first = make_case(300);
  Case second = make_case(300);
  auto kernels = make_packed_expert_kernels();
  auto a = kernels->forward(first.x, first.slices, first.rows, first.gates);
  kernels->backward(first.dy, first.slices, *a.context);
  auto b = kernels->forward(second.x, second.slices, second.rows, second.gates);
  kernels->backward(second.dy, second.slices, *b.context);
  EXPECT_TRUE(a.y.equal(b.y));
  EXPECT_TRUE(first.slices[2].gate_up_gradient.equal(second.slices[2].gate_up_gradient));
}

TEST_F(PackedKernels, GateAndUpMadeAgainGiveTheSameBits) {
  auto keeping = make_packed_expert_kernels();
  auto repeating = make_packed_expert_kernels(GateUpProducts::kComputedAgain);
  for (const std::int64_t num_rows : {300, 1, 65, 300}) {  // later ones meet used buffers
    SCOPED_TRACE(num_rows);
    Case kept = make_case(num_rows);
    Case again = make_case(num_rows);
    auto a = keeping->forward(kept.x, kept.slices, kept.rows, kept.gates);
    auto b = repeating->forward(again.x, again.slices, again.rows, again.gates);
    EXPECT_TRUE(a.y.equal(b.y));
    // Another layer's pass between the two halves: nothing of the first may be left in buffers.
    repeating->forward(again.dy, again.slices, again.rows, again.gates);
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
