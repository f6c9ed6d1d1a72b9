#include "parallel/ownership/row_mover.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/model/parameter_specs.h"
#include "core/model/parameter_store.h"
#include "parallel/communicator/local_communicator.h"
#include "parallel/placement/held_slices.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kColumns = 3;

/// A value that tells expert, matrix, row and column apart.
float value_of(int expert, int matrix, std::int64_t row, std::int64_t column) {
  return static_cast<float>(expert * 1000 + matrix * 100 + row) + 0.1F * static_cast<float>(column);
}

/// What a rank holds, each row with its value or all zero.
at::Tensor flat_values(const std::vector<Slice>& slices, bool filled) {
  at::Tensor flat =
      at::zeros({elements_of_slices(slices, kColumns)}, at::TensorOptions(at::kFloat));
  auto* next = flat.mutable_data_ptr<float>();
  for (const Slice& slice : slices) {
    for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
      for (std::int64_t row = slice.begin; row < slice.end; ++row) {
        for (std::int64_t column = 0; column < kColumns; ++column) {
          *next++ = filled ? value_of(slice.expert, matrix, row, column) : 0;
        }
      }
    }
  }
  return flat;
}

std::vector<Slice> held(const LayerPlacement& placement, int rank) {
  return slices_of_rank({{placement}}, rank);
}

TEST(RowMover, BringsEveryRowInRoundsOfAnySize) {
  const LayerPlacement before{{{0, 0, 0, 7}, {1, 1, 0, 4}, {1, 0, 4, 9}, {2, 2, 0, 1}}};
  const LayerPlacement after{
      {{0, 1, 0, 2}, {0, 2, 2, 6}, {0, 0, 6, 7}, {1, 2, 0, 9}, {2, 0, 0, 1}}};
  const std::int64_t bytes_of_row = kExpertMatrices * kColumns * 4;
  for (const std::int64_t most_rows : {0, 1, 2, 3, 1000}) {
    run_ranks(4, [&](Communicator& group) {  // rank 3 holds nothing, before and after
      const std::vector<Slice> from = held(before, group.rank()), to = held(after, group.rank());
      RowMover mover(group, row_transfers(before, after, {4, 1}), kColumns, kExpertMatrices,
                     most_rows * bytes_of_row);
      const SliceLayout from_layout(from, kColumns), to_layout(to, kColumns);
      at::Tensor target = flat_values(to, false);
      mover.move({from_layout, flat_values(from, true)}, {to_layout, target});
      EXPECT_TRUE(target.equal(flat_values(to, true))) << "rank " << group.rank();
    });
  }
}

}  // namespace
}  // namespace hetmoe
