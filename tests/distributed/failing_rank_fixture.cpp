// Not a test of its own: expect_failing_rank.cmake runs it and expects it to fail.
#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/support/mpi_world.h"

namespace hetmoe::test {
namespace {

TEST(FailingRank, assertion) {
  if (test_world().rank() == 1) FAIL() << "deliberate assertion";
  test_world().barrier();
}

TEST(FailingRank, exception) {
  if (test_world().rank() == 1) throw std::runtime_error("deliberate exception");
  test_world().barrier();
}

TEST(FailingRank, expectation) {
  if (test_world().rank() == 1) ADD_FAILURE() << "deliberate expectation";
  test_world().barrier();
}

}  // namespace
}  // namespace hetmoe::test
