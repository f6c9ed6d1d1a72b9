// Ownership::migrate: how masters and moments follow a new placement.
#include "core/base/check.h"
#include "core/tensor/zero_pages.h"
#include "parallel/ownership/dense_partition.h"
#include "parallel/ownership/ownership.h"
#include "parallel/ownership/row_mover.h"
#include "parallel/placement/held_slices.h"
#include "parallel/placement/migration.h"
#include "parallel/placement/owned_slices.h"

namespace hetmoe {
namespace {

/// Values in their new layout, fp32. Collective.
at::Tensor moved(RowMover& mover, const SliceLayout& from, const at::Tensor& values,
                 const SliceLayout& to) {
  at::Tensor target = zero_pages(to.elements(), values.options().dtype(at::kFloat));
  mover.move({from, values}, {to, target});
  return target;
}

void move_state(RowMover& mover, const SliceLayout& from, const SliceLayout& to,
                OwnerState& state) {
  state.exp_avg = moved(mover, from, state.exp_avg, to);
  state.exp_avg_sq = moved(mover, from, state.exp_avg_sq, to);
  if (state.masters.defined()) state.masters = moved(mover, from, state.masters, to);
}

/// A rank's parts of the buckets, as slices of elements: bucket for expert.
SliceLayout layout_of_parts(const std::vector<DenseBucket>& buckets, int rank) {
  std::vector<Slice> parts;
  for (std::size_t index = 0; index < buckets.size(); ++index) {
    const std::int64_t begin = buckets[index].begin_of(rank);
    const std::int64_t count = buckets[index].counts[rank];
    if (count > 0) parts.push_back({0, static_cast<int>(index), begin, begin + count});
  }
  return {std::move(parts), /*columns=*/1, /*matrices=*/1};
}

std::vector<Slice> slices_held_by(const LayerPlacement& placement, int layer, int rank) {
  std::vector<Slice> slices;
  for (const HeldSlice& held : held_slices(placement, layer, rank)) slices.push_back(held.slice);
  return slices;
}

}  // namespace

void Ownership::migrate(const Placement& after) {
  HETMOE_CHECK(after.layers.size() == placement_.layers.size(), after.layers.size(), " layers");
  HETMOE_CHECK(completed_ == 0, "gradients of ", completed_, " blocks are under way");
  wait_all();
  forget_owned();  // its views would keep the old buffers alive
  dense_exchange_.reset();
  replica_exchange_.reset();
  for (const int layer : migration_order(placement_, after, groups_.size)) {
    migrate_layer(layer, after.layers[layer]);
  }
  migrate_dense(after);
  placement_ = after;
  connect();
  list_owned();
  refresh_copies();
  for (int layer = 0; layer < store_.num_layers(); ++layer) {
    replica_exchange_->start_values(layer);
  }
  wait_all();
  gradients_.barrier();  // no rank goes on before all have what is theirs
}

void Ownership::migrate_layer(int layer, const LayerPlacement& after) {
  const int rank = gradients_.rank();
  const auto held_before = store_.layer_slices(layer);
  const SliceLayout from_held = layout_of({held_before.begin(), held_before.end()});
  const SliceLayout to_held = layout_of(slices_held_by(after, layer, groups_.rank_in_group(rank)));
  const SliceLayout to_owned = layout_of(slices_owned_by(after, layer, groups_, rank));
  RowMover mover(gradients_, row_transfers(placement_.layers[layer], after, groups_),
                 store_.hidden_size(), kExpertMatrices);

  store_.release_slice_gradients(layer);
  auto& [layout, state] = layers_[layer];
  move_state(mover, layout, to_owned, state);
  // bf16 copies are the masters, rounded; copies of rows that others own come from them.
  at::Tensor values = state.masters.defined()
                          ? zero_pages(to_held.elements(), store_.slice_values(layer).options())
                          : moved(mover, from_held, store_.slice_values(layer), to_held);
  layout = to_owned;
  store_.replace_slices(layer, to_held.slices(), std::move(values));
}

/// Every rank has every compute copy, so in fp32 the masters need not move.
void Ownership::migrate_dense(const Placement& after) {
  std::vector<DenseBucket> buckets = partition_for(after);
  if (buckets == buckets_) return;
  const int rank = gradients_.rank();
  RowMover mover(gradients_, dense_transfers(buckets_, buckets), /*columns=*/1, /*matrices=*/1);
  move_state(mover, layout_of_parts(buckets_, rank), layout_of_parts(buckets, rank), dense_);
  buckets_ = std::move(buckets);
}

}  // namespace hetmoe
