#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/model/slice.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/migration.h"

namespace hetmoe {

/// Slices of one layer whose values follow one another in a flat buffer: gate, up and down rows of
/// the first slice, then of the next.
struct FlatSlices {
  const std::vector<Slice>& slices;
  at::Tensor values;  ///< [3 * rows * columns], one-dimensional
};

/// Moves the rows of one layer's slices between the ranks of a group, in rounds of bounded size.
class SliceMover {
 public:
  /// `transfers` are the same on every rank. `group` carries this class of traffic alone and must
  /// outlive the mover. columns: hidden size.
  /// A round sends and receives at most `most_bytes` per rank, or one row.
  SliceMover(Communicator& group, const std::vector<RowTransfer>& transfers, std::int64_t columns,
             std::int64_t most_bytes = std::int64_t{64} << 20);

  /// Fills the rows of `after` that transfers bring to this rank from the rows of `before` on
  /// their ranks; other rows of `after` are left alone. fp32, both. Collective, blocking. Memory
  /// beside both buffers: what one round sends and receives.
  void move(const FlatSlices& before, const FlatSlices& after);

 private:
  void move_round(const std::vector<RowTransfer>& round, const FlatSlices& before,
                  const FlatSlices& after);

  Communicator& group_;
  std::int64_t columns_;
  std::vector<std::vector<RowTransfer>> rounds_;
};

}  // namespace hetmoe
