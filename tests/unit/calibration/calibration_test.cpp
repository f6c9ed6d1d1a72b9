#include "runtime/calibration/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "parallel/communicator/local_communicator.h"
#include "parallel/placement/cluster_file.h"
#include "runtime/calibration/memory_measurement.h"
#include "runtime/calibration/yardsticks.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

/// Every look at it is a millisecond after the last: a part between two looks takes a millisecond,
/// whatever it does.
class TickingClock final : public Clock {
 public:
  double monotonic_seconds() const override { return now_ += 1e-3; }
  double wall_seconds() const override { return 0; }

 private:
  mutable double now_ = 0;
};

CalibrationPlan tiny_plan() {
  CalibrationPlan plan;
  plan.hidden_sizes = {32, 64};
  plan.rows = {1, 5, 24};
  plan.widths = {3, 40};
  plan.lengths = {7, 16};
  plan.model.head_dim = 16;
  plan.model.vocab_size = 53;
  plan.model.experts.count = 4;
  plan.tokens = 48;
  plan.few_tokens = 16;
  plan.optimizer_elements = 1000;
  plan.copy_bytes = 1 << 16;
  plan.message_bytes = 1 << 12;
  plan.seconds = 1e-3;
  return plan;
}

RunConfig config_of(Precision precision) {
  RunConfig config;
  config.train.precision = precision;
  config.parallel.threads = 1;
  return config;
}

Cluster calibrated(const RunConfig& config, const CalibrationPlan& plan, const Clock& clock,
                   Communicator& world) {
  return calibrate({.config = config,
                    .plan = plan,
                    .world = world,
                    .clock = clock,
                    .progress = [](const std::string&) {}});
}

void expect_positive(const std::vector<double>& values, std::size_t count) {
  EXPECT_EQ(values.size(), count);
  for (const double value : values) EXPECT_TRUE(std::isfinite(value) && value > 0) << value;
}

void expect_complete(const Cluster& cluster, const CalibrationPlan& plan) {
  const std::size_t cells =
      plan.hidden_sizes.size() * cluster.expert_products.rows.size() * plan.widths.size();
  EXPECT_EQ(cluster.expert_products.hidden_sizes, plan.hidden_sizes);
  EXPECT_EQ(cluster.expert_products.widths, plan.widths);
  expect_positive(cluster.expert_products.forward_seconds, cells);
  expect_positive(cluster.expert_products.backward_seconds, cells);
  EXPECT_EQ(cluster.attention.sizes, plan.lengths);
  for (const RateCurve* curve : {&cluster.dense_products, &cluster.output_head}) {
    EXPECT_EQ(curve->sizes, plan.hidden_sizes);
  }
  for (const RateCurve* curve :
       {&cluster.dense_products, &cluster.attention, &cluster.output_head}) {
    expect_positive(curve->forward_flops_per_second, curve->sizes.size());
    expect_positive(curve->backward_flops_per_second, curve->sizes.size());
  }
  expect_positive(
      {cluster.peak_flops_per_second, cluster.memory_bytes, cluster.memory_bytes_per_second,
       cluster.optimizer_bytes_per_second, cluster.layer_seconds + cluster.layer_seconds_per_value,
       cluster.same_node.latency_seconds, cluster.same_node.bytes_per_second,
       cluster.other_node.latency_seconds, cluster.other_node.bytes_per_second},
      9);
  EXPECT_GE(cluster.layer_seconds, 0);
  EXPECT_GE(cluster.layer_seconds_per_value, 0);
}

TEST(Calibration, FillsEveryTableInBothPrecisions) {
  const auto world = LocalWorld(1).communicator(0);
  const SystemClock clock;
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const RunConfig config = config_of(precision);
    const Cluster cluster = calibrated(config, tiny_plan(), clock, *world);
    expect_complete(cluster, tiny_plan());
    EXPECT_EQ(cluster.precision, precision == Precision::kFp32 ? "fp32" : "bf16");
    EXPECT_EQ(cluster.threads, 1);
    EXPECT_EQ(cluster.ranks_per_node, 1);
    EXPECT_NE(cluster.source.find("one rank"), std::string::npos) << cluster.source;
    const TemporaryFolder folder;
    const Cluster read = read_cluster_file(folder.write("cluster.yaml", write_cluster(cluster)));
    EXPECT_EQ(read.expert_products.forward_seconds, cluster.expert_products.forward_seconds);
    EXPECT_EQ(read.source, cluster.source);
  }
}

TEST(Calibration, RatesAreTheCountedWorkOverTheClocksTime) {
  const auto world = LocalWorld(1).communicator(0);
  const TickingClock clock;
  const CalibrationPlan plan = tiny_plan();
  const Cluster cluster = calibrated(config_of(Precision::kFp32), plan, clock, *world);
  const double tick = 1e-3;
  EXPECT_NEAR(cluster.peak_flops_per_second * tick, 2.0 * 2048 * 1024 * 2048, 1e3);
  // Four layers of eight small slices are timed as one.
  for (const double seconds : cluster.expert_products.forward_seconds) {
    EXPECT_NEAR(seconds, tick / 32, 1e-12);
  }
  // D = 64: 48 tokens through 64 x 192 (query, key, value) and 64 x 64, four layers as one.
  EXPECT_NEAR(cluster.dense_products.forward_flops_per_second[1] * tick,
              4 * 2.0 * 48 * (64 * 192 + 64 * 64), 1);
  EXPECT_NEAR(cluster.dense_products.backward_flops_per_second[1] * tick,
              4 * 4.0 * 48 * (64 * 192 + 64 * 64), 1);
  // Length 7: six whole sequences in 48 tokens; half of two products of 7 x 32 per token.
  EXPECT_NEAR(cluster.attention.forward_flops_per_second[0] * tick, 4 * 2.0 * 42 * 7 * 32, 1e-3);
  EXPECT_NEAR(cluster.output_head.forward_flops_per_second[0] * tick, 2.0 * 48 * 53 * 32, 1e-3);
  EXPECT_NEAR(cluster.optimizer_bytes_per_second * tick, 28 * 1000, 1e-3);
  EXPECT_NEAR(cluster.memory_bytes_per_second * tick, 2 << 16, 1e-3);
}

TEST(Calibration, AnUpdateInBf16AlsoWritesTheCopy) {
  const auto world = LocalWorld(1).communicator(0);
  const TickingClock clock;
  Measurement measurement(*world, clock);
  EXPECT_NEAR(measure_optimizer(measurement, 1000, at::kBFloat16, 1e-3) * 1e-3, 30 * 1000, 1e-3);
}

TEST(Calibration, AModelWhoseRoutingIsForcedIsMeasuredWithItsRouter) {
  const auto world = LocalWorld(1).communicator(0);
  const SystemClock clock;
  CalibrationPlan plan = tiny_plan();
  plan.model.router.forced = "W3";
  expect_complete(calibrated(config_of(Precision::kFp32), plan, clock, *world), plan);
}

TEST(Calibration, AllRanksEndWithTheSameNumbers) {
  std::vector<Cluster> clusters(2);
  run_ranks(2, [&](Communicator& world) {
    const SystemClock clock;
    CalibrationPlan plan = tiny_plan();
    plan.hidden_sizes = {32};
    clusters[static_cast<std::size_t>(world.rank())] =
        calibrated(config_of(Precision::kFp32), plan, clock, world);
  });
  const Cluster& a = clusters[0];
  const Cluster& b = clusters[1];
  EXPECT_EQ(a.ranks_per_node, 2);
  EXPECT_NE(a.source.find("other_node not measured"), std::string::npos) << a.source;
  EXPECT_EQ(a.source, b.source);
  EXPECT_EQ(a.expert_products.forward_seconds, b.expert_products.forward_seconds);
  EXPECT_EQ(a.expert_products.backward_seconds, b.expert_products.backward_seconds);
  EXPECT_EQ(a.layer_seconds_per_value, b.layer_seconds_per_value);
  EXPECT_EQ(a.same_node.bytes_per_second, b.same_node.bytes_per_second);
  EXPECT_EQ(a.other_node.bytes_per_second, a.same_node.bytes_per_second);
}

}  // namespace
}  // namespace hetmoe
