#include "parallel/ownership/ownership.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <span>

#include "core/base/check.h"
#include "core/model/initial_values.h"
#include "parallel/dispatch/tensor_buffer.h"
#include "parallel/ownership/dense_partition.h"

namespace hetmoe {
namespace {

std::vector<std::int64_t> slice_elements_per_rank(const Placement& placement, int ranks,
                                                  std::int64_t hidden_size) {
  std::vector<std::int64_t> elements(ranks, 0);
  for (const LayerPlacement& layer : placement.layers) {
    for (const PlacedSlice& slice : layer.slices) {
      HETMOE_CHECK(slice.rank >= 0 && slice.rank < ranks && slice.share == 1.0, "expert ",
                   slice.expert, " on rank ", slice.rank, " of ", ranks);
      elements[slice.rank] += kExpertMatrices * slice.width() * hidden_size;
    }
  }
  return elements;
}

std::span<float> floats(const at::Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

}  // namespace

Ownership::Ownership(Communicator& gradients, Communicator& parameters, ParameterStore& store,
                     const Placement& placement)
    : gradients_(gradients), parameters_(parameters), store_(store) {
  HETMOE_CHECK(store.type() == at::kFloat || store.type() == at::kBFloat16,
               "the store must be fp32 or bf16");
  const int ranks = gradients.size();
  cuts_ = partition_dense(store.dense_specs(),
                          slice_elements_per_rank(placement, ranks, store.hidden_size()));
  for (int rank = 0; rank < ranks; ++rank) counts_.push_back(cuts_[rank + 1] - cuts_[rank]);
  const std::int64_t owned_dense = counts_[gradients.rank()];
  const std::int64_t elements = owned_dense + store.elements() - store.dense_elements();
  const auto fp32 = at::TensorOptions(at::kFloat);
  exp_avg_ = at::zeros({elements}, fp32);
  exp_avg_sq_ = at::zeros({elements}, fp32);
  if (store.type() != at::kFloat) masters_ = at::zeros({elements}, fp32);
  if (ranks > 1) dense_gradient_ = at::zeros({owned_dense}, fp32);
  list_dense();
  list_slices();
  HETMOE_CHECK(owned_elements_ == elements, "owned ", owned_elements_, " of ", elements);
}

void Ownership::add_owned(const std::string& name, bool is_matrix, std::int64_t row_begin,
                          std::int64_t row_count, std::int64_t columns, std::int64_t store_offset) {
  const std::int64_t count = row_count * columns;
  const bool is_dense = store_offset < store_.dense_elements();
  OwnedRows rows{.name = name,
                 .row_begin = row_begin,
                 .row_end = row_begin + row_count,
                 .columns = columns,
                 .is_matrix = is_matrix};
  rows.copy = store_.values().narrow(0, store_offset, count);
  rows.master = masters_.defined() ? masters_.narrow(0, owned_elements_, count) : rows.copy;
  rows.exp_avg = exp_avg_.narrow(0, owned_elements_, count);
  rows.exp_avg_sq = exp_avg_sq_.narrow(0, owned_elements_, count);
  rows.gradient = is_dense && dense_gradient_.defined()
                      ? dense_gradient_.narrow(0, owned_elements_, count)
                      : store_.gradients().narrow(0, store_offset, count);
  owned_elements_ += count;
  owned_.push_back(std::move(rows));
}

void Ownership::list_dense() {
  const std::int64_t begin = cuts_[gradients_.rank()];
  const std::int64_t end = cuts_[gradients_.rank() + 1];
  std::int64_t offset = 0;
  for (const TensorSpec& spec : store_.dense_specs()) {
    const std::int64_t first = std::max(begin, offset);
    const std::int64_t last = std::min(end, offset + spec.elements());
    if (first < last) {
      add_owned(spec.name, spec.is_matrix, (first - offset) / spec.columns,
                (last - first) / spec.columns, spec.columns, first);
    }
    offset += spec.elements();
  }
}

void Ownership::list_slices() {
  for (std::size_t i = 0; i < store_.slices().size(); ++i) {
    const Slice& slice = store_.slices()[i];
    for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
      const std::int64_t offset =
          store_.slice_offset(i) + matrix * slice.width() * store_.hidden_size();
      add_owned(expert_tensor_name(slice.layer, slice.expert, static_cast<ExpertMatrix>(matrix)),
                /*is_matrix=*/true, slice.begin, slice.width(), store_.hidden_size(), offset);
    }
  }
}

void Ownership::initialize(std::uint64_t seed, double standard_deviation) {
  for (OwnedRows& rows : owned_) {
    initial_rows(seed, rows.name, rows.is_matrix, standard_deviation, rows.row_begin, rows.columns,
                 floats(rows.master));
    if (masters_.defined()) rows.copy.copy_(rows.master);
  }
  broadcast_parameters();
}

void Ownership::reduce_gradients() {
  if (!dense_gradient_.defined()) return;
  const at::Tensor dense = store_.gradients().narrow(0, 0, store_.dense_elements());
  gradients_.reduce_scatter_v(const_tensor_buffer(dense), counts_, tensor_buffer(dense_gradient_))
      .wait();
}

double Ownership::owned_sum_of_squares() const {
  double sum = 0;
  for (const OwnedRows& rows : owned_) sum += sum_of_squares(floats(rows.gradient));
  return sum;
}

void Ownership::update(const AdamWStep& step) {
  std::vector<AdamWPiece> pieces;
  pieces.reserve(owned_.size());
  for (const OwnedRows& rows : owned_) {
    pieces.push_back(
        {.master = rows.master.mutable_data_ptr<float>(),
         .gradient = rows.gradient.const_data_ptr<float>(),
         .exp_avg = rows.exp_avg.mutable_data_ptr<float>(),
         .exp_avg_sq = rows.exp_avg_sq.mutable_data_ptr<float>(),
         .copy = masters_.defined() ? rows.copy.mutable_data_ptr<at::BFloat16>() : nullptr,
         .count = rows.master.numel(),
         .decays = rows.is_matrix});
  }
  adamw_update(pieces, step);
}

void Ownership::broadcast_parameters() {
  if (parameters_.size() == 1) return;
  at::Tensor dense = store_.values().narrow(0, 0, store_.dense_elements());
  parameters_.all_gather_v(tensor_buffer(dense), counts_).wait();
}

}  // namespace hetmoe
