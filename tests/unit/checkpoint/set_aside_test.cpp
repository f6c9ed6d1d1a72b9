#include "runtime/checkpoint/set_aside.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/checkpoint/checkpoint_reader.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/checkpoint/small_checkpoint.h"

namespace hetmoe {
namespace {

TEST(SetAside, WhatIsNewerExistsForNobodyAndIsAllThere) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder(temporary.path());
  for (const std::int64_t step : {2, 4, 6, 8}) save_small(folder, step);
  folder.begin(10);  // not committed: in nobody's way
  const std::vector<std::string> lines = set_aside_after(folder, 4, 3);
  EXPECT_THAT(lines, testing::ElementsAre(testing::HasSubstr("step-00000006.set-aside-3"),
                                          testing::HasSubstr("step-00000008.set-aside-3")));
  EXPECT_EQ(resolve_checkpoint(temporary.path()), folder.path_of(4));
  EXPECT_NO_THROW(CheckpointReader(temporary.path() / "step-00000008.set-aside-3").verify());
  EXPECT_EQ(save_small(folder, 8), folder.path_of(8));
  EXPECT_TRUE(set_aside_after(folder, 8, 4).empty());
}

}  // namespace
}  // namespace hetmoe
