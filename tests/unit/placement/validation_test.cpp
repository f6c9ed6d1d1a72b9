#include "parallel/placement/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/error.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::vector<std::vector<std::int64_t>> kWidths = {{4, 6}};

std::string fault_of(std::vector<PlacedSlice> slices) {
  try {
    validate_placement(Placement{{LayerPlacement{std::move(slices)}}}, kWidths, 3);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "valid";
}

TEST(ValidatePlacement, whole_cut_and_replicated_experts_are_valid) {
  EXPECT_EQ(fault_of({{0, 0, 0, 4}, {1, 2, 0, 6}}), "valid");
  EXPECT_EQ(fault_of({{0, 2, 0, 1}, {0, 0, 1, 4}, {1, 1, 0, 6}}), "valid");
  EXPECT_EQ(fault_of({{0, 0, 0, 4, 0.25}, {0, 2, 0, 4, 0.75}, {1, 1, 0, 6}}), "valid");
}

TEST(ValidatePlacement, a_missing_row_is_named) {
  EXPECT_THAT(fault_of({{0, 0, 0, 4}}), HasSubstr("layer 0: expert 1: row 0 of 6 is on no rank"));
  EXPECT_THAT(fault_of({{1, 0, 0, 6}}), HasSubstr("expert 0: row 0 of 4 is on no rank"));
  EXPECT_THAT(fault_of({{0, 0, 0, 4}, {1, 0, 0, 2}, {1, 0, 3, 6}}),
              HasSubstr("expert 1: row 2 of 6 is on no rank"));
  EXPECT_THAT(fault_of({{0, 0, 0, 3}, {1, 0, 0, 6}}), HasSubstr("expert 0: row 3 of 4"));
  EXPECT_THAT(fault_of({}), HasSubstr("expert 0: row 0 of 4"));
}

TEST(ValidatePlacement, partly_overlapping_ranges_are_refused) {
  EXPECT_THAT(fault_of({{0, 0, 0, 3}, {0, 1, 2, 4}, {1, 0, 0, 6}}),
              AllOf(HasSubstr("expert 0"), HasSubstr("row 2 is placed twice")));
  EXPECT_THAT(fault_of({{0, 0, 0, 3}, {0, 1, 0, 4}, {1, 0, 0, 6}}),
              HasSubstr("row 0 is placed twice"));
}

TEST(ValidatePlacement, shares_of_replicas_add_up_to_one) {
  EXPECT_THAT(fault_of({{0, 0, 0, 4, 0.5}, {0, 1, 0, 4, 0.25}, {1, 0, 0, 6}}),
              HasSubstr("expert 0 rows [0, 4): shares add up to 0.75"));
  EXPECT_THAT(fault_of({{0, 0, 0, 4, 0.75}, {0, 1, 0, 4, 0.75}, {1, 0, 0, 6}}),
              HasSubstr("add up to 1.5"));
  EXPECT_THAT(fault_of({{0, 0, 0, 4}, {0, 1, 0, 4, 5e-10}, {1, 0, 0, 6}}),
              HasSubstr("a share of 1 beside a replica"));
  EXPECT_THAT(fault_of({{0, 0, 0, 4}, {1, 0, 0, 6, 0.5}}), HasSubstr("expert 1 rows [0, 6)"));
  EXPECT_THAT(fault_of({{0, 0, 0, 4, std::nan("")}, {1, 0, 0, 6}}), HasSubstr("share nan"));
}

TEST(ValidatePlacement, order_ranks_experts_and_ranges_are_checked) {
  EXPECT_THAT(fault_of({{1, 0, 0, 6}, {0, 0, 0, 4}}), HasSubstr("sorted by"));
  EXPECT_THAT(fault_of({{0, 0, 0, 4, 0.5}, {0, 0, 0, 4, 0.5}, {1, 0, 0, 6}}),
              HasSubstr("each once"));
  EXPECT_THAT(fault_of({{0, 3, 0, 4}, {1, 0, 0, 6}}), HasSubstr("the rank is not in [0, 3)"));
  EXPECT_THAT(fault_of({{0, -1, 0, 4}, {1, 0, 0, 6}}), HasSubstr("the rank is not in [0, 3)"));
  EXPECT_THAT(fault_of({{0, 0, 0, 4}, {2, 0, 0, 6}}), HasSubstr("expert 2 is not in [0, 2)"));
  EXPECT_THAT(fault_of({{0, 0, 0, 5}, {1, 0, 0, 6}}), HasSubstr("not a range of rows within"));
  EXPECT_THAT(fault_of({{0, 0, 2, 2}, {1, 0, 0, 6}}), HasSubstr("not a range of rows within"));
}

TEST(ValidatePlacement, the_number_of_layers_is_checked) {
  EXPECT_THROW(validate_placement(Placement{}, kWidths, 1), ConfigError);
}

}  // namespace
}  // namespace hetmoe
