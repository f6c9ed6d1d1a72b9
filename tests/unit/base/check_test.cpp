#include "core/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace hetmoe {
namespace {

TEST(Check, NamesPlaceConditionAndValues) {
  try {
    HETMOE_CHECK(1 + 1 == 3, "got ", 2, ", expected ", 3);
    FAIL();
  } catch (const InternalError& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("tests/unit/base/check_test.cpp:"));
    EXPECT_THAT(error.what(), testing::EndsWith("check '1 + 1 == 3' failed: got 2, expected 3"));
    EXPECT_EQ(error.exit_code(), ExitCode::kInternal);
  }
}

TEST(Check, IsSilentWhenTheConditionHolds) { EXPECT_NO_THROW(HETMOE_CHECK(true, "never")); }

}  // namespace
}  // namespace hetmoe
