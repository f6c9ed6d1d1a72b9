#include "parallel/communicator/rank_order_reduction.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace hetmoe {
namespace {

TEST(RankOrderReduction, adds_left_to_right) {
  // (1e8 + 1) - 1e8 is 0 in fp32, 1e8 - 1e8 + 1 is 1: the order shows.
  const float big = 1e8F, one = 1.0F, minus = -1e8F;
  float result = 0;
  const std::vector<const void*> absorbed = {&big, &one, &minus};
  reduce_in_rank_order(DataType::kFloat32, Reduction::kSum, absorbed, &result, 1);
  EXPECT_EQ(result, 0.0F);
  const std::vector<const void*> kept = {&big, &minus, &one};
  reduce_in_rank_order(DataType::kFloat32, Reduction::kSum, kept, &result, 1);
  EXPECT_EQ(result, 1.0F);
}

TEST(RankOrderReduction, the_destination_may_be_any_source) {
  for (std::size_t place = 0; place < 3; ++place) {
    std::vector<std::vector<double>> sources(3, std::vector<double>(3001));
    for (std::size_t s = 0; s < 3; ++s)
      for (std::size_t i = 0; i < 3001; ++i)
        sources[s][i] = static_cast<double>(i) + static_cast<double>(s) * 0.5;
    const std::vector<const void*> pointers = {sources[0].data(), sources[1].data(),
                                               sources[2].data()};
    reduce_in_rank_order(DataType::kFloat64, Reduction::kSum, pointers, sources[place].data(),
                         3001);
    for (std::size_t i = 0; i < 3001; ++i)
      ASSERT_EQ(sources[place][i], 3.0 * static_cast<double>(i) + 1.5);
  }
}

TEST(RankOrderReduction, integer_sums_wrap) {
  const std::int64_t largest = std::numeric_limits<std::int64_t>::max(), one = 1;
  std::int64_t result = 0;
  const std::vector<const void*> sources = {&largest, &one};
  reduce_in_rank_order(DataType::kInt64, Reduction::kSum, sources, &result, 1);
  EXPECT_EQ(result, std::numeric_limits<std::int64_t>::min());
}

}  // namespace
}  // namespace hetmoe
