#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/model/parameter_gate.h"
#include "core/model/parameter_store.h"
#include "core/optim/adamw.h"
#include "parallel/communicator/communicator.h"
#include "parallel/ownership/replica_exchange.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// Rows of one global tensor that this rank owns: fp32 master, both moments and the summed
/// gradient, all one-dimensional views of `rows * columns` elements.
struct OwnedRows {
  std::string name;
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  std::int64_t columns = 1;
  bool is_matrix = true;
  Initial initial;
  at::Tensor master;
  at::Tensor exp_avg;
  at::Tensor exp_avg_sq;
  at::Tensor gradient;
  at::Tensor copy;  ///< compute copy; the same memory as master in fp32
};

/// Every row of every parameter has one owner (ZeRO-1): gradients are summed there, masters and
/// moments live only there, and updated compute copies go out from there.
///   dense tensors: cut into one contiguous range per rank, water-filled (dense_partition.h) for
///     the first placement; later placements leave the cuts alone
///   slices: owned where they are placed, replicas by the lowest rank that holds them
/// In fp32 the owner's rows of the compute copy are the master.
/// Sums are taken in rank order. Memory: 4 (gradient) + 12 bytes per owned parameter in bf16,
/// 4 + 8 in fp32; with peers a receive buffer of the owned dense gradient, and during a step the
/// gradients of one layer's replicas.
class Ownership {
 public:
  /// Collective (world). All references must outlive this; each communicator carries this class of
  /// traffic alone. `placement` is over the world's ranks. The store is fp32 or bf16.
  Ownership(Communicator& gradients, Communicator& parameters, ParameterStore& store,
            const Placement& placement);

  /// Initial masters by (seed, name, row), then broadcast. Collective.
  void initialize(std::uint64_t seed);

  /// Sums the store's gradients on their owners. Blocking, collective, once per step.
  void reduce_gradients();

  /// Sum of squares of the summed gradients owned here. Local.
  double owned_sum_of_squares() const;

  /// Updates the rows owned here. Local.
  void update(const AdamWStep& step);

  /// Slices go to where `after` places them, with masters and moments; gradients are 0 afterwards.
  /// Between steps, with nothing else under way. Layer by layer (migration_order) and one kind of
  /// value after another into the room of the layer's gradients: beside the larger of both
  /// placements a rank needs what it grows by in between, and the rounds of slice_mover.h.
  /// Blocking, collective: returns when every rank has its slices. The store's views change.
  /// Errors: CommunicationError; then nothing that this rank holds may be used any more.
  void migrate(const Placement& after);

  /// Sends the owners' rows to every compute copy. Blocking, collective; later steps may make this
  /// wait block by block in parameter_gate().
  void broadcast_parameters();
  ParameterGate& parameter_gate() { return gate_; }

  const std::vector<OwnedRows>& owned() const { return owned_; }

 private:
  /// State of parameters that are owned here, in flat fp32 buffers.
  struct OwnerState {
    at::Tensor masters;  ///< undefined in fp32: the compute copy is the master
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
  };

  OwnerState make_state(std::int64_t elements) const;
  void add_owned(OwnedRows rows, const OwnerState& state, std::int64_t state_offset,
                 const at::Tensor& copies, const at::Tensor& gradients, std::int64_t offset);
  void list_owned();
  void list_dense();
  void list_slices(int layer);
  void refresh_copies();
  void migrate_layer(int layer, const LayerPlacement& after);

  Communicator& gradients_;
  Communicator& parameters_;
  ParameterStore& store_;
  Placement placement_;
  OpenParameterGate gate_;
  std::vector<std::int64_t> cuts_;    ///< [ranks + 1] in the dense part of the store
  std::vector<std::int64_t> counts_;  ///< [ranks]
  OwnerState dense_;
  std::vector<OwnerState> layers_;           ///< of the slices owned here
  at::Tensor dense_gradient_;                ///< undefined on one rank: it is the store's
  std::optional<ReplicaExchange> replicas_;  ///< always there after construction
  std::vector<OwnedRows> owned_;
};

}  // namespace hetmoe
