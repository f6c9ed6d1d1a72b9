#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "parallel/ownership/slice_layout.h"
#include "parallel/placement/migration.h"

namespace hetmoe {

/// Values laid out as slices.
struct FlatRows {
  const SliceLayout& layout;
  at::Tensor values;  ///< [layout.elements()]
};

/// Moves rows between the ranks of a group, in rounds of bounded size: rows of one layer's slices,
/// or elements of the dense buffer (columns 1, one matrix, buckets for experts).
class RowMover {
 public:
  /// `transfers` are the same on every rank. `group` carries this class of traffic alone and must
  /// outlive the mover. columns, matrices: as in the layouts of what moves.
  /// A round sends and receives at most `most_bytes` per rank, or one row.
  RowMover(Communicator& group, const std::vector<RowTransfer>& transfers, std::int64_t columns,
           int matrices, std::int64_t most_bytes = std::int64_t{64} << 20);

  /// Fills the rows of `after` that transfers bring to this rank from the rows of `before` on
  /// their ranks; other rows of `after` are left alone. fp32, both. Collective, blocking. Memory
  /// beside both buffers: what one round sends and receives.
  void move(const FlatRows& before, const FlatRows& after);

 private:
  void move_round(const std::vector<RowTransfer>& round, const FlatRows& before,
                  const FlatRows& after);

  Communicator& group_;
  std::int64_t row_elements_;
  std::vector<std::vector<RowTransfer>> rounds_;
};

}  // namespace hetmoe
