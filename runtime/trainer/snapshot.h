#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "parallel/ownership/owned_rows.h"
#include "runtime/checkpoint/shard_file.h"
#include "runtime/checkpoint/tensor_shapes.h"

namespace hetmoe {

/// A copy in host memory of all that one rank owns, so that training may go on while it is written.
/// Keeps its memory from one copy to the next: 12 bytes per owned parameter.
class Snapshot {
 public:
  /// Local, blocking: a copy of memory. What the last copy returned is no longer valid.
  /// The rows point into this object: master, first and second moment of each.
  std::vector<ShardRows> copy(const std::vector<OwnedRows>& owned, const TensorShapes& shapes);

 private:
  at::Tensor values_;  ///< fp32; pinned where it is filled from a GPU
};

/// Rows [begin, end) of the three kinds of one tensor, out of a checkpoint.
class CheckpointReader;
void read_owned_rows(CheckpointReader& checkpoint, OwnedRows& rows);

}  // namespace hetmoe
