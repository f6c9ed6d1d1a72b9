// Calibration on a GPU that a CPU plays: its figures mean nothing, but that there are some, and
// what they are of.
#include <gtest/gtest.h>

#include <cmath>

#include "core/tensor/device.h"
#include "parallel/communicator/local_communicator.h"
#include "parallel/placement/cluster_file.h"
#include "runtime/calibration/calibration.h"
#include "runtime/calibration/measurement.h"
#include "tests/emulation/include/observed_device.h"

namespace hetmoe {
namespace {

CalibrationPlan tiny_plan() {
  CalibrationPlan plan;
  plan.hidden_sizes = {32};
  plan.rows = {1, 5};
  plan.widths = {8, 40};
  plan.lengths = {8};
  plan.model.head_dim = 16;
  plan.model.vocab_size = 53;
  plan.model.experts.count = 4;
  plan.tokens = 16;
  plan.few_tokens = 8;
  plan.optimizer_elements = 1000;
  plan.copy_bytes = 1 << 16;
  plan.message_bytes = 1 << 12;
  plan.seconds = 1e-3;
  return plan;
}

void expect_positive(const std::vector<double>& values, std::size_t count) {
  EXPECT_EQ(values.size(), count);
  for (const double value : values) EXPECT_TRUE(std::isfinite(value) && value > 0) << value;
}

TEST(GpuCalibration, fills_every_table_in_both_precisions_and_names_the_gpu) {
  const auto world = LocalWorld(1).communicator(0);
  const SystemClock clock;
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    RunConfig config;
    config.train.precision = precision;
    config.parallel.device = precision == Precision::kFp32 ? "cuda" : "auto";
    config.parallel.threads = 1;
    const CalibrationPlan plan = tiny_plan();
    const Cluster cluster = calibrate({.config = config,
                                       .plan = plan,
                                       .world = *world,
                                       .clock = clock,
                                       .progress = [](const std::string&) {}});
    EXPECT_EQ(cluster.name,
              precision == Precision::kFp32 ? "emulated device, fp32" : "emulated device, bf16");
    EXPECT_EQ(cluster.memory_bytes, 4.0 * (1 << 30)) << "of the device and not of the host";
    expect_positive(cluster.expert_products.forward_seconds, 4);
    expect_positive(cluster.expert_products.backward_seconds, 4);
    for (const RateCurve* curve :
         {&cluster.dense_products, &cluster.attention, &cluster.output_head}) {
      expect_positive(curve->forward_flops_per_second, 1);
      expect_positive(curve->backward_flops_per_second, 1);
    }
    expect_positive({cluster.peak_flops_per_second, cluster.memory_bytes_per_second,
                     cluster.optimizer_bytes_per_second,
                     cluster.layer_seconds + cluster.layer_seconds_per_value,
                     cluster.same_node.latency_seconds, cluster.same_node.bytes_per_second},
                    6);
  }
}

TEST(GpuMeasurement, the_host_waits_once_for_all_repetitions) {
  const auto world = LocalWorld(1).communicator(0);
  Measurement measurement(*world, make_gpu_work_clock());
  const std::vector<double> values(1000, 1);
  int runs = 0;
  const auto copies = [&] {
    uploaded(std::span<const double>(values), at::kDouble);
    ++runs;
  };
  const std::uint64_t before = test::host_waits_so_far();
  const auto medians = measurement.medians_of(0.05, {copies, copies});
  EXPECT_EQ(test::host_waits_so_far() - before, 3U) << "two warm-ups, and all that is counted";
  EXPECT_GT(runs, 2 * 3);
  expect_positive(medians, 2);
}

TEST(GpuWorkClock, marks_are_places_in_the_work_and_cost_no_wait) {
  const auto clock = make_gpu_work_clock();
  const std::uint64_t before = test::host_waits_so_far();
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(clock->mark(), i);
  EXPECT_EQ(test::host_waits_so_far(), before);
  EXPECT_ANY_THROW(clock->seconds_between(0, 4)) << "nobody has waited";
  clock->wait();
  double sum = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_GE(clock->seconds_between(i, i + 1), 0);
    sum += clock->seconds_between(i, i + 1);
  }
  EXPECT_NEAR(sum, clock->seconds_between(0, 4), 1e-6);
  clock->restart();
  EXPECT_EQ(clock->marks(), 1U);
  EXPECT_EQ(clock->mark(), 1U);
  clock->wait();
  EXPECT_GT(clock->seconds_between(0, 1), 0) << "since the last mark before the restart";
}

}  // namespace
}  // namespace hetmoe
