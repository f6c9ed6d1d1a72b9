#include "parallel/ownership/ownership.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "core/base/check.h"
#include "core/model/initial_values.h"
#include "parallel/ownership/dense_partition.h"
#include "parallel/placement/owned_slices.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kValuesPerTask = 1 << 15;

void draw_masters(std::uint64_t seed, OwnedRows& rows) {
  float* const values = rows.master.mutable_data_ptr<float>();
  const std::int64_t grain = std::max<std::int64_t>(1, kValuesPerTask / rows.columns);
  at::parallel_for(0, rows.row_end - rows.row_begin, grain,
                   [&](std::int64_t begin, std::int64_t end) {
                     const auto count = static_cast<std::size_t>((end - begin) * rows.columns);
                     initial_rows(seed, rows.name, rows.initial, rows.row_begin + begin,
                                  rows.columns, {values + begin * rows.columns, count});
                   });
}

}  // namespace

Ownership::Ownership(Communicator& gradients, Communicator& parameters, ParameterStore& store,
                     const Placement& placement, const ExpertGroups& groups)
    : gradients_(gradients),
      parameters_(parameters),
      store_(store),
      groups_(groups),
      placement_(placement),
      buckets_(partition_for(placement)),
      blocks_by_need_(blocks_by_need(buckets_, store.num_layers())),
      blocks_by_completion_(blocks_by_completion(buckets_, store.num_layers())) {
  HETMOE_CHECK(store.type() == at::kFloat || store.type() == at::kBFloat16,
               "the store must be fp32 or bf16");
  HETMOE_CHECK(groups.ranks() == gradients.size(), groups.ranks(), " ranks in groups, ",
               gradients.size(), " in the world");
  HETMOE_CHECK((gradients.memory() == MemoryKind::kHost) == store.device().is_cpu(),
               "parameters on ", store.device().str(), ", which their communicator cannot read");
  dense_ = make_owner_state(owned_dense_elements(buckets_)[gradients.rank()], store.type(),
                            store.device());
  for (int layer = 0; layer < store.num_layers(); ++layer) {
    SliceLayout layout =
        layout_of(slices_owned_by(placement.layers[layer], layer, groups_, gradients.rank()));
    const std::int64_t elements = layout.elements();
    layers_.push_back(
        {std::move(layout), make_owner_state(elements, store.type(), store.device())});
  }
  connect();
  list_owned();
}

SliceLayout Ownership::layout_of(std::vector<Slice> slices) const {
  return {std::move(slices), store_.hidden_size()};
}

std::vector<DenseBucket> Ownership::partition_for(const Placement& placement) const {
  std::vector<std::int64_t> slice_elements = owned_rows(placement, groups_);
  for (std::int64_t& elements : slice_elements) elements *= kExpertMatrices * store_.hidden_size();
  return partition_dense(store_.dense_specs(), slice_elements);
}

void Ownership::connect() {
  dense_exchange_.emplace(gradients_, parameters_, store_, buckets_, bytes_);
  replica_exchange_.emplace(gradients_, parameters_, store_, placement_, groups_, bytes_);
}

void Ownership::list_owned() {
  forget_owned();
  for (const int block : blocks_by_need_) {
    const std::size_t first = owned_.size();
    list_dense(bucket_of(block));
    if (is_layer(block)) list_slices(block);
    list_updates(std::span(owned_).subspan(first));
  }
}

void Ownership::forget_owned() {
  owned_.clear();
  updates_.clear();
  update_gradients_.clear();
  update_begins_.assign(1, 0);
}

void Ownership::list_updates(std::span<const OwnedRows> rows) {
  const bool has_copies = store_.type() != at::kFloat;
  std::vector<AdamWTensors> pieces;
  for (const OwnedRows& part : rows) {
    pieces.push_back({.master = part.master,
                      .gradient = part.gradient,
                      .exp_avg = part.exp_avg,
                      .exp_avg_sq = part.exp_avg_sq,
                      .copy = has_copies ? part.copy : at::Tensor(),
                      .decays = part.is_matrix});
  }
  for (AdamWTensors& run : joined(pieces)) {
    update_gradients_.push_back(run.gradient);
    updates_.push_back(std::move(run));
  }
  update_begins_.push_back(updates_.size());
}

void Ownership::add_owned(OwnedRows rows, const OwnerState& state, std::int64_t state_begin) {
  const std::int64_t count = rows.copy.numel();
  const auto part = [&](const at::Tensor& flat) { return flat.narrow(0, state_begin, count); };
  rows.master = state.masters.defined() ? part(state.masters) : rows.copy;
  rows.exp_avg = part(state.exp_avg);
  rows.exp_avg_sq = part(state.exp_avg_sq);
  owned_.push_back(std::move(rows));
}

void Ownership::list_dense(std::size_t index) {
  const DenseBucket& bucket = buckets_[index];
  const std::int64_t begin = bucket.begin_of(gradients_.rank());
  const std::int64_t end = begin + bucket.counts[gradients_.rank()];
  const at::Tensor& summed = dense_exchange_->owned_gradients();
  std::int64_t offset = 0;
  for (const TensorSpec& spec : store_.dense_specs()) {
    const std::int64_t first = std::max(begin, offset);
    const std::int64_t last = std::min(end, offset + spec.elements());
    if (first < last) {
      const std::int64_t state_begin = dense_exchange_->owned_begin(index) + first - begin;
      add_owned(
          {.name = spec.name,
           .row_begin = (first - offset) / spec.columns,
           .row_end = (last - offset) / spec.columns,
           .columns = spec.columns,
           .is_matrix = spec.is_matrix,
           .initial = spec.initial,
           .gradient = summed.defined() ? summed.narrow(0, state_begin, last - first)
                                        : store_.dense_gradients().narrow(0, first, last - first),
           .copy = store_.dense_values().narrow(0, first, last - first)},
          dense_, state_begin);
    }
    offset += spec.elements();
  }
}

void Ownership::list_slices(int layer) {
  const std::int64_t columns = store_.hidden_size();
  const auto held_slices = store_.layer_slices(layer);
  const SliceLayout held = layout_of({held_slices.begin(), held_slices.end()});
  const auto& [owned, state] = layers_[layer];
  for (const Slice& slice : owned.slices()) {
    const std::int64_t count = slice.width() * columns;
    for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
      const std::int64_t begin = held.offset(slice.expert, slice.begin, slice.end, matrix);
      add_owned({.name = expert_tensor_name(layer, slice.expert, static_cast<ExpertMatrix>(matrix)),
                 .row_begin = slice.begin,
                 .row_end = slice.end,
                 .columns = columns,
                 .initial = store_.expert_initial(),
                 .gradient = store_.slice_gradients(layer).narrow(0, begin, count),
                 .copy = store_.slice_values(layer).narrow(0, begin, count)},
                state, owned.offset(slice.expert, slice.begin, slice.end, matrix));
    }
  }
}

std::size_t Ownership::bucket_of(int block) const {
  const auto found = std::find_if(buckets_.begin(), buckets_.end(),
                                  [&](const DenseBucket& bucket) { return bucket.block == block; });
  HETMOE_CHECK(found != buckets_.end(), "no block ", block);
  return static_cast<std::size_t>(found - buckets_.begin());
}

Ownership::FillRows Ownership::initial_masters(std::uint64_t seed) {
  return [seed](OwnedRows& rows) { draw_masters(seed, rows); };
}

void Ownership::assign(const FillRows& fill) {
  for (OwnedRows& rows : owned_) fill_owned(rows, fill);
  refresh_copies();
  for (const int block : blocks_by_need_) send_copies(block);
  wait_all();
}

/// Values come from files and generators of the host.
void Ownership::fill_owned(OwnedRows& rows, const FillRows& fill) const {
  if (store_.device().is_cpu()) return fill(rows);
  OwnedRows here = rows;
  for (at::Tensor OwnedRows::*part :
       {&OwnedRows::master, &OwnedRows::exp_avg, &OwnedRows::exp_avg_sq}) {
    here.*part = (rows.*part).to(at::kCPU);
  }
  fill(here);
  for (at::Tensor OwnedRows::*part :
       {&OwnedRows::master, &OwnedRows::exp_avg, &OwnedRows::exp_avg_sq}) {
    (rows.*part).copy_(here.*part);
  }
}

void Ownership::refresh_copies() {
  if (store_.type() == at::kFloat) return;
  for (OwnedRows& rows : owned_) rows.copy.copy_(rows.master);
}

void Ownership::complete(int block) {
  HETMOE_CHECK(
      completed_ < blocks_by_completion_.size() && block == blocks_by_completion_[completed_],
      "block ", block, " completed as number ", completed_);
  ++completed_;
  dense_exchange_->start_gradients(bucket_of(block));
  if (is_layer(block)) replica_exchange_->start_gradients(block);
  gradients_.progress();
}

void Ownership::reduce_gradients() {
  while (completed_ < blocks_by_completion_.size()) complete(blocks_by_completion_[completed_]);
  for (const int block : blocks_by_completion_) {
    dense_exchange_->finish_gradients(bucket_of(block));
    if (is_layer(block)) replica_exchange_->finish_gradients(block);
  }
  completed_ = 0;
}

Deferred Ownership::owned_sum_of_squares() const { return sum_of_squares(update_gradients_); }

void Ownership::update(int block, const AdamWStep& step) {
  wait(block);
  const auto index =
      std::find(blocks_by_need_.begin(), blocks_by_need_.end(), block) - blocks_by_need_.begin();
  HETMOE_CHECK(index < std::ssize(blocks_by_need_), "no block ", block);
  const std::size_t begin = update_begins_[index];
  adamw_update(std::span(updates_).subspan(begin, update_begins_[index + 1] - begin), step);
}

void Ownership::send_copies(int block) {
  dense_exchange_->start_values(bucket_of(block));
  if (is_layer(block)) replica_exchange_->start_values(block);
  parameters_.progress();
}

void Ownership::wait(int block) {
  parameters_.progress();
  dense_exchange_->finish_values(bucket_of(block));
  if (is_layer(block)) replica_exchange_->finish_values(block);
}

void Ownership::wait_all() {
  for (const int block : blocks_by_need_) wait(block);
}

}  // namespace hetmoe
