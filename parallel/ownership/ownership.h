#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/model/gradient_listener.h"
#include "core/model/parameter_gate.h"
#include "core/model/parameter_store.h"
#include "core/optim/adamw_tensors.h"
#include "parallel/communicator/communicator.h"
#include "parallel/ownership/dense_exchange.h"
#include "parallel/ownership/owned_rows.h"
#include "parallel/ownership/replica_exchange.h"
#include "parallel/ownership/slice_layout.h"
#include "parallel/ownership/update_bytes.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// Every row of every parameter has one owner (ZeRO-1): gradients are summed there, masters and
/// moments live only there, and updated compute copies go out from there.
///   dense tensors: each block's are cut over all ranks, water-filled (dense_partition.h)
///   slices: owned where they are placed, copies as owned_slices.h says
/// In fp32 the owner's rows of the compute copy are the master.
///
/// A step, block by block (parameter_specs.h): the decoder reports a block's gradients as complete
/// and they leave while backward goes on; reduce_gradients waits for all; update and send_copies
/// take turns in the order of blocks(); the next forward pass waits for each block as it comes to
/// it. Collectives run on whenever anyone waits or calls progress (communicator.h).
///
/// Sums are taken in rank order. Memory: 12 bytes per owned parameter in bf16, 8 in fp32; with
/// peers 4 per owned dense parameter for its summed gradient, the buffers of replicas
/// (replica_exchange.h), and what the communicator takes for every reduction under way.
/// Threads: one at a time. Errors: CommunicationError from all that blocks; nothing that this rank
/// holds may be used after it.
class Ownership final : public GradientListener, public ParameterGate {
 public:
  /// Collective (world). All references must outlive this; each communicator is the world's and
  /// carries this class of traffic alone. `placement` is over the ranks of one group, and the store
  /// holds what it gives this rank. The store is fp32 or bf16.
  Ownership(Communicator& gradients, Communicator& parameters, ParameterStore& store,
            const Placement& placement, const ExpertGroups& groups);

  /// Fills master and moments of rows that are owned here; they are the host's while it does.
  using FillRows = std::function<void(OwnedRows& rows)>;

  /// Masters and moments as `fill` gives them (moments are 0 before), then compute copies sent to
  /// all. Blocking, collective: an error that `fill` throws on one rank must end them all.
  void assign(const FillRows& fill);

  /// Initial masters by (seed, name, row).
  static FillRows initial_masters(std::uint64_t seed);

  /// GradientListener: starts summing the block's gradients, which may not change until
  /// reduce_gradients returns. Collective, does not block.
  void complete(int block) override;

  /// Sums the store's gradients on their owners: starts what was not reported as complete, waits
  /// for everything. Blocking, collective, once per step.
  void reduce_gradients();

  /// Sum of squares of the summed gradients owned here. Local.
  Deferred owned_sum_of_squares() const;

  /// In the order in which the next forward pass needs them.
  std::span<const int> blocks() const { return blocks_by_need_; }

  /// Updates the rows of a block that are owned here. Local, but waits for copies of the block that
  /// are still being sent.
  void update(int block, const AdamWStep& step);

  /// Starts sending the block's rows from their owners to every compute copy. Collective in the
  /// order of blocks(), does not block: nobody reads the block before wait(block), its owners do
  /// not change it.
  void send_copies(int block);

  /// ParameterGate: blocks until the block's copies are here, and ours are sent. At once when none
  /// are under way.
  void wait(int block) override;
  void wait_all() override;

  /// Slices go to where `after` places them, with masters and moments; dense rows are dealt out
  /// anew, so that owners stay even. Gradients of slices that moved are 0 afterwards.
  /// Between steps. Layer by layer (migration_order) and one kind of value after another into the
  /// room of the layer's gradients: beside the larger of both placements a rank needs what it grows
  /// by in between, and the rounds of row_mover.h.
  /// Blocking, collective: returns when every rank has its slices. The store's views change.
  void migrate(const Placement& after);

  /// By block in the order of blocks(); valid until migrate.
  const std::vector<OwnedRows>& owned() const { return owned_; }

  /// Since construction: steps, first values and copies after a migration.
  const UpdateBytes& update_bytes() const { return bytes_; }

 private:
  /// Slices of one layer that are owned here.
  struct LayerState {
    SliceLayout layout;
    OwnerState state;
  };

  bool is_layer(int block) const { return block >= 0 && block < store_.num_layers(); }
  std::size_t bucket_of(int block) const;
  void send_all_copies();

  SliceLayout layout_of(std::vector<Slice> slices) const;
  std::vector<DenseBucket> partition_for(const Placement& placement) const;
  void connect();
  void list_owned();
  void forget_owned();
  void list_updates(std::span<const OwnedRows> rows);
  void list_dense(std::size_t bucket);
  void list_slices(int layer);
  void add_owned(OwnedRows rows, const OwnerState& state, std::int64_t state_begin);
  void fill_owned(OwnedRows& rows, const FillRows& fill) const;
  void refresh_copies();

  void migrate_layer(int layer, const LayerPlacement& after);
  void migrate_dense(const Placement& after);

  Communicator& gradients_;
  Communicator& parameters_;
  ParameterStore& store_;
  ExpertGroups groups_;
  Placement placement_;
  std::vector<DenseBucket> buckets_;  ///< block after block, as the store's tensors
  std::vector<int> blocks_by_need_;
  std::vector<int> blocks_by_completion_;
  std::size_t completed_ = 0;  ///< blocks whose gradients have been started in this step
  OwnerState dense_;
  std::vector<LayerState> layers_;
  std::vector<OwnedRows> owned_;
  // The same, joined where memory is, once and not in every step.
  std::vector<AdamWTensors> updates_;
  std::vector<at::Tensor> update_gradients_;  ///< of updates_
  std::vector<std::size_t> update_begins_;  ///< [blocks + 1] in updates_, in the order of blocks()
  UpdateBytes bytes_;
  std::optional<DenseExchange> dense_exchange_;  ///< these are always there after construction
  std::optional<ReplicaExchange> replica_exchange_;
};

}  // namespace hetmoe
