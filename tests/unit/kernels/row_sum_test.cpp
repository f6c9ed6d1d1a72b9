#include "core/kernels/row_sum.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <random>

#include "core/kernels/row_copy.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

/// A list for each row; some lists may have none.
std::vector<std::int64_t> random_lists(std::mt19937& random, std::int64_t rows,
                                       std::int64_t lists) {
  std::vector<std::int64_t> list_of_row;
  for (std::int64_t i = 0; i < rows; ++i) {
    list_of_row.push_back(static_cast<std::int64_t>(random() % static_cast<unsigned>(lists)));
  }
  return list_of_row;
}

TEST(SumRows, HasTheBitsOfRowsAddedOneAfterAnotherInTheWideType) {
  std::mt19937 random(5);
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat, at::kDouble}) {
    for (const std::int64_t columns : {1, 7, 64, 511, 512, 513, 1100}) {
      const std::int64_t rows = 23;
      const std::int64_t lists = 9;
      const at::Tensor x = test_values("rows", {rows, columns}).to(type);
      const auto list_of_row = random_lists(random, rows, lists);
      at::Tensor expected = at::zeros(
          {lists, columns}, x.options().dtype(type == at::kDouble ? at::kDouble : at::kFloat));
      for (std::int64_t i = 0; i < rows; ++i) {
        const std::array<std::int64_t, 1> list = {list_of_row[i]};
        add_rows(x.narrow(0, i, 1), list, expected);
      }
      const at::Tensor sums = sum_rows(x, lists_of_rows(list_of_row, lists));
      EXPECT_EQ(sums.scalar_type(), type);
      EXPECT_TRUE(sums.equal(expected.to(type))) << c10::toString(type) << ", " << columns;
    }
  }
}

TEST(SumRows, OfNothingAreZerosOfAllLists) {
  const at::Tensor x = test_values("rows", {0, 4});
  EXPECT_TRUE(sum_rows(x, lists_of_rows({}, 3)).equal(at::zeros({3, 4}, x.options())));
  EXPECT_EQ(sum_rows(x, lists_of_rows({}, 0)).size(0), 0);
}

TEST(RowLists, KeepTheOrderOfTheRows) {
  const std::vector<std::int64_t> list_of_row = {2, 0, 2, 2, 0};
  const RowLists lists = lists_of_rows(list_of_row, 4);
  EXPECT_EQ(lists.offset, (std::vector<std::int64_t>{0, 2, 2, 5, 5}));
  EXPECT_EQ(lists.row, (std::vector<std::int64_t>{1, 4, 0, 2, 3}));
}

}  // namespace
}  // namespace hetmoe
