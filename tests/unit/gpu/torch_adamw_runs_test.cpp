// AdamW on a GPU, which takes pieces that lie one behind another as one, beside that of the CPU.
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <observed_device.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/optim/adamw_tensors.h"
#include "core/tensor/device.h"
#include "tests/support/gradient_check.h"

namespace hetmoe::test {
namespace {

/// Elements of one piece, and what stands between it and the one before.
struct Piece {
  std::int64_t elements;
  bool decays = true;
  std::int64_t gap = 0;
};

/// Neighbours, also of both kinds and none at all; a gap in memory; an odd end.
const std::vector<Piece> kPieces = {{7}, {12},         {5, false}, {3, false},
                                    {9}, {4, true, 2}, {0},        {31}};
constexpr std::int64_t kRoom = 80;

at::Tensor values(const char* name, double deviation, at::Device device) {
  return test_values(name, {kRoom}, deviation).to(at::kFloat).to(device);
}

/// Masters and all else of the pieces in flat buffers, as owners have them.
struct Flat {
  explicit Flat(at::Device device, bool has_copies)
      : masters(values("masters", 1, device)),
        gradients(values("gradients", 1, device)),
        exp_avg(values("first", 0.1, device)),
        exp_avg_sq(values("second", 0.1, device).square()) {
    if (has_copies) copies = at::zeros({kRoom}, masters.options().dtype(at::kBFloat16));
  }

  std::vector<AdamWTensors> pieces() const {
    std::vector<AdamWTensors> pieces;
    std::int64_t begin = 0;
    for (const Piece& piece : kPieces) {
      begin += piece.gap;
      const auto part = [&](const at::Tensor& flat) {
        return flat.defined() ? flat.narrow(0, begin, piece.elements) : flat;
      };
      pieces.push_back({part(masters), part(gradients), part(exp_avg), part(exp_avg_sq),
                        part(copies), piece.decays});
      begin += piece.elements;
    }
    return pieces;
  }

  at::Tensor masters, gradients, exp_avg, exp_avg_sq, copies;
};

struct AdamWCase {
  const char* name;
  bool has_copies;
  double gradient_scale;
};

class GpuAdamWRuns : public testing::TestWithParam<AdamWCase> {};

TEST_P(GpuAdamWRuns, updates_as_the_cpu_does_whatever_lies_behind_what) {
  const Flat here(at::kCPU, GetParam().has_copies);
  const Flat there(gpu_device(), GetParam().has_copies);
  for (int update = 3; update <= 5; ++update) {
    const AdamWStep step{.learning_rate = 0.02,
                         .weight_decay = 0.3,
                         .update = update,
                         .gradient_scale = GetParam().gradient_scale};
    adamw_update(here.pieces(), step);
    const std::uint64_t waits = host_waits_so_far();
    adamw_update(joined(there.pieces()), step);
    EXPECT_EQ(host_waits_so_far(), waits);
    // The fused one writes clipped gradients back; a step brings new ones.
    const at::Tensor next = values(("gradients" + std::to_string(update)).c_str(), 1, at::kCPU);
    here.gradients.copy_(next);
    there.gradients.copy_(next);
  }
  EXPECT_LT(relative_difference(there.masters.to(at::kCPU), here.masters), 1e-6);
  EXPECT_LT(relative_difference(there.exp_avg.to(at::kCPU), here.exp_avg), 1e-6);
  EXPECT_LT(relative_difference(there.exp_avg_sq.to(at::kCPU), here.exp_avg_sq), 1e-6);
  for (const AdamWTensors& piece : there.pieces()) {
    if (!GetParam().has_copies) break;
    EXPECT_TRUE(piece.copy.to(at::kCPU).equal(piece.master.to(at::kCPU).to(at::kBFloat16)));
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, GpuAdamWRuns,
                         testing::Values(AdamWCase{"fp32", false, 1}, AdamWCase{"bf16", true, 1},
                                         AdamWCase{"clipped", false, 0.25},
                                         AdamWCase{"bf16_clipped", true, 0.25}),
                         [](const auto& instance) { return instance.param.name; });

TEST(GpuAdamWRuns, neighbours_of_one_kind_are_one) {
  const Flat there(gpu_device(), true);
  std::vector<std::int64_t> elements;
  for (const AdamWTensors& run : joined(there.pieces())) elements.push_back(run.copy.numel());
  // The gap and what does not decay part them; the empty one and the last follow the fourth.
  EXPECT_EQ(elements, (std::vector<std::int64_t>{7 + 12, 5 + 3, 9, 4 + 0 + 31}));
}

TEST(GpuAdamWRuns, squares_of_neighbours_and_others_sum_up) {
  const Flat there(gpu_device(), false);
  std::vector<at::Tensor> parts;
  double expected = 0;
  for (const AdamWTensors& piece : there.pieces()) {
    parts.push_back(piece.gradient);
    expected += piece.gradient.to(at::kCPU).to(at::kDouble).square().sum().item<double>();
  }
  EXPECT_NEAR(fetched({sum_of_squares(parts).there()})[0], expected, 1e-6 * expected);
  parts.back().fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_FALSE(std::isfinite(fetched({sum_of_squares(parts).there()})[0]));
}

}  // namespace
}  // namespace hetmoe::test
