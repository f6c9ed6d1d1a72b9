// main() of the distributed tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>

#include "core/base/check.h"
#include "tests/support/mpi_world.h"
#include "tests/support/rank_listener.h"

namespace hetmoe::test {
namespace {

// What GoogleTest's bodies cannot be given as an argument; set only while main runs.
MpiRuntime* runtime_of_main = nullptr;
Communicator* world_of_main = nullptr;

int run_all_tests(Communicator& world) {
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  if (world.rank() != 0) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new RankListener(world));  // GoogleTest owns it
  const std::int64_t own = RUN_ALL_TESTS();
  std::int64_t worst = own;
  world.all_reduce({&worst, 1, DataType::kInt64}, Reduction::kMax).wait();
  if (world.rank() == 0 && own == 0 && worst != 0)
    std::printf("[  FAILED  ] on another rank, see its message above\n");
  return static_cast<int>(worst);
}

}  // namespace

Communicator& test_world() {
  HETMOE_CHECK(world_of_main != nullptr, "test_world() outside a test");
  return *world_of_main;
}

MpiRuntime& test_runtime() {
  HETMOE_CHECK(runtime_of_main != nullptr, "test_runtime() outside a test");
  return *runtime_of_main;
}

}  // namespace hetmoe::test

int main(int argument_count, char** arguments) {
  using namespace hetmoe;
  try {
    MpiRuntime runtime(argument_count, arguments);
    const std::unique_ptr<Communicator> world = runtime.world();
    testing::InitGoogleMock(&argument_count, arguments);
    test::runtime_of_main = &runtime;
    test::world_of_main = world.get();
    try {
      return test::run_all_tests(*world);
    } catch (const std::exception& error) {
      world->abort(error.what(), 1);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
