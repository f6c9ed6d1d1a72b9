#include "parallel/ownership/ownership.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <span>

#include "core/base/check.h"
#include "core/model/initial_values.h"
#include "parallel/dispatch/tensor_buffer.h"
#include "parallel/ownership/dense_partition.h"
#include "parallel/ownership/slice_mover.h"
#include "parallel/placement/held_slices.h"
#include "parallel/placement/migration.h"

namespace hetmoe {
namespace {

std::span<float> floats(const at::Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

/// The slices of a layer that a rank owns, in the order in which it holds them.
std::vector<Slice> owned_slices(const LayerPlacement& placement, int layer, int rank) {
  std::vector<Slice> slices;
  for (const HeldSlice& held : held_slices(placement, layer, rank)) {
    if (held.owner == rank) slices.push_back(held.slice);
  }
  return slices;
}

std::vector<Slice> all_slices(const LayerPlacement& placement, int layer, int rank) {
  std::vector<Slice> slices;
  for (const HeldSlice& held : held_slices(placement, layer, rank)) slices.push_back(held.slice);
  return slices;
}

std::vector<std::int64_t> slice_elements_per_rank(const Placement& placement, int ranks,
                                                  std::int64_t hidden_size) {
  std::vector<std::int64_t> elements(ranks, 0);
  for (const LayerPlacement& layer : placement.layers) {
    for (int rank = 0; rank < ranks; ++rank) {
      elements[rank] += elements_of_slices(owned_slices(layer, 0, rank), hidden_size);
    }
  }
  return elements;
}

}  // namespace

Ownership::Ownership(Communicator& gradients, Communicator& parameters, ParameterStore& store,
                     const Placement& placement)
    : gradients_(gradients), parameters_(parameters), store_(store), placement_(placement) {
  HETMOE_CHECK(store.type() == at::kFloat || store.type() == at::kBFloat16,
               "the store must be fp32 or bf16");
  const int ranks = gradients.size();
  cuts_ = partition_dense(store.dense_specs(),
                          slice_elements_per_rank(placement, ranks, store.hidden_size()));
  for (int rank = 0; rank < ranks; ++rank) counts_.push_back(cuts_[rank + 1] - cuts_[rank]);
  const std::int64_t owned_dense = counts_[gradients.rank()];
  dense_ = make_state(owned_dense);
  if (ranks > 1) dense_gradient_ = at::zeros({owned_dense}, at::TensorOptions(at::kFloat));
  for (int layer = 0; layer < store.num_layers(); ++layer) {
    layers_.push_back(make_state(elements_of_slices(
        owned_slices(placement.layers[layer], layer, gradients.rank()), store.hidden_size())));
  }
  list_owned();
  replicas_.emplace(placement_, gradients_.rank(), ranks, store.hidden_size());
}

Ownership::OwnerState Ownership::make_state(std::int64_t elements) const {
  const auto fp32 = at::TensorOptions(at::kFloat);
  OwnerState state;
  if (store_.type() != at::kFloat) state.masters = at::zeros({elements}, fp32);
  state.exp_avg = at::zeros({elements}, fp32);
  state.exp_avg_sq = at::zeros({elements}, fp32);
  return state;
}

void Ownership::list_owned() {
  owned_.clear();
  list_dense();
  for (int layer = 0; layer < store_.num_layers(); ++layer) list_slices(layer);
}

void Ownership::add_owned(OwnedRows rows, const OwnerState& state, std::int64_t state_offset,
                          const at::Tensor& copies, const at::Tensor& gradients,
                          std::int64_t offset) {
  const std::int64_t count = (rows.row_end - rows.row_begin) * rows.columns;
  rows.copy = copies.narrow(0, offset, count);
  rows.master = state.masters.defined() ? state.masters.narrow(0, state_offset, count) : rows.copy;
  rows.exp_avg = state.exp_avg.narrow(0, state_offset, count);
  rows.exp_avg_sq = state.exp_avg_sq.narrow(0, state_offset, count);
  rows.gradient =
      gradients.narrow(0, gradients.is_same(dense_gradient_) ? state_offset : offset, count);
  owned_.push_back(std::move(rows));
}

void Ownership::list_dense() {
  const std::int64_t begin = cuts_[gradients_.rank()];
  const std::int64_t end = cuts_[gradients_.rank() + 1];
  const at::Tensor& gradients =
      dense_gradient_.defined() ? dense_gradient_ : store_.dense_gradients();
  std::int64_t offset = 0;
  for (const TensorSpec& spec : store_.dense_specs()) {
    const std::int64_t first = std::max(begin, offset);
    const std::int64_t last = std::min(end, offset + spec.elements());
    if (first < last) {
      add_owned({.name = spec.name,
                 .row_begin = (first - offset) / spec.columns,
                 .row_end = (last - offset) / spec.columns,
                 .columns = spec.columns,
                 .is_matrix = spec.is_matrix,
                 .initial = spec.initial},
                dense_, first - begin, store_.dense_values(), gradients, first);
    }
    offset += spec.elements();
  }
}

void Ownership::list_slices(int layer) {
  const std::int64_t columns = store_.hidden_size();
  std::int64_t offset = 0, state_offset = 0;
  for (const HeldSlice& held : held_slices(placement_.layers[layer], layer, gradients_.rank())) {
    const Slice& slice = held.slice;
    const std::int64_t count = slice.width() * columns;
    const bool is_owner = held.owner == gradients_.rank();
    for (int matrix = 0; matrix < kExpertMatrices && is_owner; ++matrix) {
      add_owned({.name = expert_tensor_name(layer, slice.expert, static_cast<ExpertMatrix>(matrix)),
                 .row_begin = slice.begin,
                 .row_end = slice.end,
                 .columns = columns,
                 .initial = store_.expert_initial()},
                layers_[layer], state_offset, store_.slice_values(layer),
                store_.slice_gradients(layer), offset + matrix * count);
      state_offset += count;
    }
    offset += kExpertMatrices * count;
  }
}

void Ownership::migrate(const Placement& after) {
  HETMOE_CHECK(after.layers.size() == placement_.layers.size(), after.layers.size(), " layers");
  gate_.wait_all();
  owned_.clear();  // its views would keep the old buffers alive
  for (const int layer : migration_order(placement_, after, gradients_.size())) {
    migrate_layer(layer, after.layers[layer]);
  }
  placement_ = after;
  list_owned();
  refresh_copies();
  replicas_.emplace(placement_, gradients_.rank(), gradients_.size(), store_.hidden_size());
  replicas_->send_values(parameters_, store_);
  gradients_.barrier();  // no rank goes on before all have what is theirs
}

void Ownership::migrate_layer(int layer, const LayerPlacement& after) {
  const int rank = gradients_.rank();
  const LayerPlacement& before = placement_.layers[layer];
  const std::int64_t columns = store_.hidden_size();
  const auto owned_before = owned_slices(before, layer, rank);
  const auto owned_after = owned_slices(after, layer, rank);
  const auto held_before = all_slices(before, layer, rank);
  auto held_after = all_slices(after, layer, rank);
  SliceMover mover(gradients_, row_transfers(before, after, {gradients_.size(), 1}), columns);
  const auto moved = [&](const at::Tensor& values, const std::vector<Slice>& from,
                         const std::vector<Slice>& to) {
    at::Tensor target = at::zeros({elements_of_slices(to, columns)}, at::TensorOptions(at::kFloat));
    mover.move({from, values}, {to, target});
    return target;
  };

  store_.release_slice_gradients(layer);
  OwnerState& state = layers_[layer];
  state.exp_avg = moved(state.exp_avg, owned_before, owned_after);
  state.exp_avg_sq = moved(state.exp_avg_sq, owned_before, owned_after);
  at::Tensor values;
  if (state.masters.defined()) {
    state.masters = moved(state.masters, owned_before, owned_after);
    values = at::zeros({elements_of_slices(held_after, columns)}, at::TensorOptions(store_.type()));
  } else {
    values = moved(store_.slice_values(layer), held_before, held_after);
  }
  store_.replace_slices(layer, std::move(held_after), std::move(values));
}

void Ownership::initialize(std::uint64_t seed) {
  for (OwnedRows& rows : owned_) {
    initial_rows(seed, rows.name, rows.initial, rows.row_begin, rows.columns, floats(rows.master));
  }
  refresh_copies();
  broadcast_parameters();
}

void Ownership::refresh_copies() {
  if (store_.type() == at::kFloat) return;
  for (OwnedRows& rows : owned_) rows.copy.copy_(rows.master);
}

void Ownership::reduce_gradients() {
  if (!dense_gradient_.defined()) return;
  replicas_->sum_gradients(gradients_, store_);
  gradients_
      .reduce_scatter_v(const_tensor_buffer(store_.dense_gradients()), counts_,
                        tensor_buffer(dense_gradient_))
      .wait();
}

double Ownership::owned_sum_of_squares() const {
  double sum = 0;
  for (const OwnedRows& rows : owned_) sum += sum_of_squares(floats(rows.gradient));
  return sum;
}

void Ownership::update(const AdamWStep& step) {
  const bool has_copies = store_.type() != at::kFloat;
  std::vector<AdamWPiece> pieces;
  pieces.reserve(owned_.size());
  for (const OwnedRows& rows : owned_) {
    pieces.push_back({.master = rows.master.mutable_data_ptr<float>(),
                      .gradient = rows.gradient.const_data_ptr<float>(),
                      .exp_avg = rows.exp_avg.mutable_data_ptr<float>(),
                      .exp_avg_sq = rows.exp_avg_sq.mutable_data_ptr<float>(),
                      .copy = has_copies ? rows.copy.mutable_data_ptr<at::BFloat16>() : nullptr,
                      .count = rows.master.numel(),
                      .decays = rows.is_matrix});
  }
  adamw_update(pieces, step);
}

void Ownership::broadcast_parameters() {
  if (parameters_.size() == 1) return;
  replicas_->send_values(parameters_, store_);
  parameters_.all_gather_v(tensor_buffer(store_.dense_values()), counts_).wait();
}

}  // namespace hetmoe
