// From step to step the owner's part takes no memory.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "parallel/communicator/local_communicator.h"
#include "parallel/ownership/ownership.h"
#include "parallel/placement/held_slices.h"
#include "tests/support/replicated_training.h"
#include "tests/support/training_world.h"

namespace {

thread_local std::int64_t allocations = 0;

void* counted(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace hetmoe::test {
namespace {

TEST(SteadyUpdate, AllocatesNothing) {
  LocalWorld world(1);
  const auto communicator = world.communicator(0);
  const ModelConfig model = small_training().model;
  const Placement placement = whole_placement(model);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    ParameterStore store(model, slices_of_rank(placement, 0), type);
    Ownership ownership(*communicator, *communicator, store, placement, {});
    ownership.assign(Ownership::initial_masters(1));
    const auto step = [&] {
      store.begin_gradients();
      ownership.reduce_gradients();
      ownership.owned_sum_of_squares();
      for (const int block : ownership.blocks()) ownership.update(block, {.learning_rate = 0.1});
    };
    step();
    const std::int64_t before = allocations;
    step();
    EXPECT_EQ(allocations, before) << c10::toString(type);
    std::vector<int> seen(3);
    EXPECT_GT(allocations, before) << "nobody counts";
  }
}

}  // namespace
}  // namespace hetmoe::test
