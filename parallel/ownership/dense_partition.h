#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model/parameter_specs.h"
#include "parallel/placement/migration.h"

namespace hetmoe {

/// The dense tensors of one block (parameter_specs.h): a run of the buffer in which all dense
/// tensors follow one another. Its parts belong to the ranks in their order.
struct DenseBucket {
  int block = 0;
  std::int64_t begin = 0;            ///< element
  std::vector<std::int64_t> counts;  ///< [ranks] elements that each rank owns

  std::int64_t elements() const;
  std::int64_t begin_of(int rank) const;  ///< element at which its part begins
  friend bool operator==(const DenseBucket&, const DenseBucket&) = default;
};

/// Cuts every block's tensors at rows over all ranks, in the order of `specs`, so that what a rank
/// owns, slices included, is as even as rows allow: the shares are water-filled (ranks that own
/// more slices get less) and the same in every bucket, so that no rank's link carries one bucket
/// alone; what rounding to rows leaves over is made up for in the next bucket.
/// slice_elements [ranks]: elements of slices that each rank owns. Pure.
std::vector<DenseBucket> partition_dense(std::span<const TensorSpec> specs,
                                         std::span<const std::int64_t> slice_elements);

/// [ranks] elements of all buckets that each rank owns.
std::vector<std::int64_t> owned_dense_elements(std::span<const DenseBucket> buckets);

/// How every element of every bucket comes from its owner before to its owner after: `expert` is
/// the bucket's index, rows are elements of the dense buffer. Both of the same tensors and ranks.
std::vector<RowTransfer> dense_transfers(std::span<const DenseBucket> before,
                                         std::span<const DenseBucket> after);

/// The buckets' blocks in the order in which a forward pass needs them: the embedding, layer 0, the
/// hypernetwork, the other layers, the head.
std::vector<int> blocks_by_need(std::span<const DenseBucket> buckets, int num_layers);

/// In the order in which a backward pass completes their gradients (gradient_listener.h).
std::vector<int> blocks_by_completion(std::span<const DenseBucket> buckets, int num_layers);

}  // namespace hetmoe
