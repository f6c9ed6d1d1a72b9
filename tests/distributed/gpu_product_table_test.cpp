// The table of products from the configuration down to the experts of a GPU that a CPU plays.
#include <gtest/gtest.h>

#include "core/gpu/device_error.h"
#include "core/kernels/gpu/product_table.h"
#include "tests/emulation/streams.h"
#include "tests/support/mpi_world.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

/// x W^T in fp32 goes in one call of cuBLAS, whatever the slices and however many tokens come.
gpu::ProductTable first_products_in_one_call(std::int64_t hidden_size) {
  std::int64_t depth = 1;
  while (2 * depth <= hidden_size) depth *= 2;
  gpu::ProductTable table;
  for (std::int64_t products = 1; products <= 8; products *= 2) {
    for (std::int64_t rows = 1; rows <= 1024; rows *= 2) {
      for (std::int64_t columns = 1; columns <= 1024; columns *= 2) {
        table.push_back({.capability = "9.0",
                         .calls = {.form = gpu::Form::kABt,
                                   .in = gpu::Number::kFloat32,
                                   .out = gpu::Number::kFloat32,
                                   .products = products,
                                   .rows = rows,
                                   .columns = columns,
                                   .depth = depth},
                         .way = gpu::ProductWay::kBatched});
      }
    }
  }
  return table;
}

/// Whether a step calls cuBLAS's grouped products: the call fails, and the step with it.
bool step_is_grouped(const RunConfig& config) {
  DeviceGroups devices(60);
  TrainingWorld training(config, test_world(), whole_placement(config.model), devices);
  emulation::fail_next("cublasGemmGroupedBatchedEx", 13);
  try {
    training.step(1);
  } catch (const gpu::DeviceError&) {
    return true;
  }
  emulation::take_failure("cublasGemmGroupedBatchedEx");
  return false;
}

TEST(ConfiguredProducts, are_those_that_the_experts_are_multiplied_with) {
  if (test_world().size() > 1) GTEST_SKIP() << "a step that fails on one of several ranks hangs";
  RunConfig config = small_training();
  EXPECT_FALSE(step_is_grouped(config));
  const TemporaryFolder folder;
  config.parallel.product_table = folder.write(
      "table.yaml", gpu::product_table_text(first_products_in_one_call(config.model.hidden_size)));
  EXPECT_TRUE(step_is_grouped(config));
}

TEST(ConfiguredProducts, leave_multiprocessors_to_the_exchange_where_there_is_one) {
  const RunConfig config = small_training();
  Communicator& world = test_world();
  DeviceGroups devices(60);
  TrainingWorld training(config, world, cut_placement(config.model, world.size()), devices);
  emulation::observed().product_multiprocessors = 0;
  training.step(1);
  constexpr int kAll = emulation::kMultiprocessors;
  EXPECT_EQ(emulation::observed().product_multiprocessors, world.size() == 1 ? kAll : kAll / 2);
  world.barrier();
}

}  // namespace
}  // namespace hetmoe::test
