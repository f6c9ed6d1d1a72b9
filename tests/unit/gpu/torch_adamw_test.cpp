// Updates by LibTorch's fused AdamW beside those of the CPU, on the same values.
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <observed_device.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/optim/adamw_tensors.h"
#include "core/tensor/device.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

struct PieceCase {
  const char* name;
  std::int64_t count;
  bool decays;
  bool has_copy;
};

// Lengths around what one block takes, and a single value.
const std::vector<PieceCase> kPieces = {{"matrix", 70001, true, true},
                                        {"norm", 37, false, true},
                                        {"one", 1, true, false},
                                        {"wide", 4096, false, false}};

std::vector<AdamWTensors> pieces_on(at::Device device) {
  std::vector<AdamWTensors> pieces;
  for (const PieceCase& c : kPieces) {
    const at::Tensor master = test_values(c.name, {c.count}, 0.5).to(at::kFloat).to(device);
    AdamWTensors piece{.master = master,
                       .gradient = master.clone().zero_(),
                       .exp_avg = master.clone().zero_(),
                       .exp_avg_sq = master.clone().zero_(),
                       .copy = c.has_copy ? master.to(at::kBFloat16) : at::Tensor(),
                       .decays = c.decays};
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

void set_gradients(std::span<AdamWTensors> pieces, int update) {
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::string name = std::string(kPieces[i].name) + std::to_string(update);
    pieces[i].gradient.copy_(test_values(name.c_str(), {kPieces[i].count}, 1e-3));
  }
}

double distance(const at::Tensor& got, const at::Tensor& expected) {
  return relative_difference(got.to(at::kCPU).to(at::kDouble), expected.to(at::kDouble));
}

TEST(GpuAdamW, masters_moments_and_copies_are_those_of_the_cpu_and_the_host_does_not_wait) {
  std::vector<AdamWTensors> there = pieces_on(gpu_device());
  std::vector<AdamWTensors> here = pieces_on(at::kCPU);
  for (int update = 1; update <= 4; ++update) {
    set_gradients(there, update);
    set_gradients(here, update);
    const AdamWStep step{.learning_rate = 0.02 / update,
                         .weight_decay = 0.1,
                         .update = update,
                         .gradient_scale = update == 2 ? 0.25 : 1.0};
    const std::uint64_t waits = test::host_waits_so_far();
    adamw_update(there, step);
    EXPECT_EQ(test::host_waits_so_far(), waits);
    adamw_update(here, step);
  }
  for (std::size_t i = 0; i < kPieces.size(); ++i) {
    SCOPED_TRACE(kPieces[i].name);
    EXPECT_LT(distance(there[i].master, here[i].master), 1e-6);
    EXPECT_LT(distance(there[i].exp_avg, here[i].exp_avg), 1e-6);
    EXPECT_LT(distance(there[i].exp_avg_sq, here[i].exp_avg_sq), 1e-6);
    if (!kPieces[i].has_copy) continue;
    EXPECT_TRUE(there[i].copy.equal(there[i].master.to(at::kBFloat16)));
    EXPECT_LT(distance(there[i].copy, here[i].copy), 4e-3);
  }
}

TEST(GpuSumOfSquares, it_is_that_of_the_cpu_and_not_finite_where_a_value_is_not) {
  const at::Tensor long_one = test_values("long", {70001}, 2.0).to(at::kFloat);
  const at::Tensor short_one = test_values("short", {1}, 2.0).to(at::kFloat);
  const std::vector<at::Tensor> here = {long_one, short_one};
  const std::vector<at::Tensor> there = {long_one.to(gpu_device()), short_one.to(gpu_device())};
  const double expected = sum_of_squares(here).value();
  EXPECT_NEAR(sum_of_squares(there).value(), expected, 1e-6 * expected);
  there[1].fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_FALSE(std::isfinite(sum_of_squares(there).value()));
}

}  // namespace
}  // namespace hetmoe
