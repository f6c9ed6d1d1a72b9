#include "core/base/error.h"

#include <gtest/gtest.h>

#include <new>

namespace hetmoe {
namespace {

TEST(Describe, KeepsTheTextOfOurOwnErrors) {
  EXPECT_EQ(describe(ConfigError("a.yaml:1: two\nlines")), "a.yaml:1: two\nlines");
}

TEST(Describe, TellsWhenMemoryIsShort) {
  const std::string expected =
      "out of memory: use more ranks, a smaller model, or more train.microbatches";
  EXPECT_EQ(describe(std::bad_alloc()), expected);
  EXPECT_EQ(describe(std::runtime_error("DefaultCPUAllocator: can't allocate memory: you tried")),
            expected);
}

TEST(Describe, CallsOthersInternalAndKeepsTheFirstLine) {
  EXPECT_EQ(describe(std::runtime_error("sizes differ\nException raised from ...")),
            "internal error: sizes differ");
}

TEST(Describe, TellsWhatToLowerWhereAGpuIsFull) {
  EXPECT_EQ(
      describe(std::runtime_error("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 ...")),
      "out of memory: use more ranks, a smaller model, or more train.microbatches");
}

}  // namespace
}  // namespace hetmoe
