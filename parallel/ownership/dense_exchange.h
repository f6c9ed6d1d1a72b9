#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/model/parameter_store.h"
#include "parallel/communicator/communicator.h"
#include "parallel/ownership/dense_partition.h"
#include "parallel/ownership/update_bytes.h"

namespace hetmoe {

/// Dense gradients to their owners and compute copies back, bucket by bucket, as collectives that
/// run on while the caller computes. On one rank nothing is sent.
class DenseExchange {
 public:
  /// All ranks of both communicators, with the same buckets. What this rank sends is added to
  /// `bytes`. References must outlive this.
  DenseExchange(Communicator& gradients, Communicator& parameters, ParameterStore& store,
                std::vector<DenseBucket> buckets, UpdateBytes& bytes);

  const std::vector<DenseBucket>& buckets() const { return buckets_; }

  /// Element of `owned_gradients` and of the owner's state at which this rank's part begins.
  std::int64_t owned_begin(std::size_t bucket) const { return owned_begins_[bucket]; }
  std::int64_t owned_elements() const { return owned_begins_.back(); }

  /// fp32 [owned_elements]: summed over ranks once finished. Undefined on one rank, where the
  /// store's gradients are the sums.
  const at::Tensor& owned_gradients() const { return owned_gradients_; }

  /// The bucket's gradients may not change until finish_gradients. Collective, does not block.
  void start_gradients(std::size_t bucket);
  void finish_gradients(std::size_t bucket);

  /// Sends the owners' compute copies. This rank's part may be read but not change, the others' not
  /// be read, until finish_values. Collective, does not block.
  void start_values(std::size_t bucket);
  void finish_values(std::size_t bucket);  ///< returns at once when nothing was started

 private:
  bool has_peers() const { return gradients_.size() > 1; }

  Communicator& gradients_;
  Communicator& parameters_;
  ParameterStore& store_;
  std::vector<DenseBucket> buckets_;
  std::vector<std::int64_t> owned_begins_;  ///< [buckets + 1]
  at::Tensor owned_gradients_;
  UpdateBytes& bytes_;
  // Last: destroyed first, so that nothing is under way when the buffers go. [buckets]
  std::vector<std::optional<Pending>> gradients_under_way_;
  std::vector<std::optional<Pending>> values_under_way_;
};

}  // namespace hetmoe
