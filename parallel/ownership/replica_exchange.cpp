#include "parallel/ownership/replica_exchange.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "core/base/check.h"
#include "parallel/dispatch/tensor_buffer.h"
#include "parallel/ownership/slice_layout.h"
#include "parallel/placement/owned_slices.h"

namespace hetmoe {
namespace {

std::int64_t sum(const std::vector<std::int64_t>& counts) {
  return std::reduce(counts.begin(), counts.end());
}

/// Calls copy(rows in the layer's buffer, the same in the side's buffer), run after run.
template <typename Side, typename Copy>
void for_each_run(const Side& side, const at::Tensor& layer, const at::Tensor& buffer, Copy copy) {
  std::int64_t next = 0;
  for (const auto& rows : side.rows) {
    for (const std::int64_t begin : rows.begins) {
      copy(layer.narrow(0, begin, rows.count), buffer.narrow(0, next, rows.count));
      next += rows.count;
    }
  }
}

template <typename Side>
void pack(const Side& side, const at::Tensor& layer, const at::Tensor& buffer) {
  for_each_run(side, layer, buffer,
               [](const at::Tensor& in_layer, at::Tensor in_buffer) { in_buffer.copy_(in_layer); });
}

template <typename Side>
void unpack(const Side& side, const at::Tensor& buffer, const at::Tensor& layer) {
  for_each_run(side, layer, buffer,
               [](at::Tensor in_layer, const at::Tensor& in_buffer) { in_layer.copy_(in_buffer); });
}

/// own = the sum of all parts, own among them, in the order given.
void add_in_order(const std::vector<at::Tensor>& parts, at::Tensor own) {
  at::Tensor sum = parts[0].clone();
  for (std::size_t i = 1; i < parts.size(); ++i) sum.add_(parts[i]);
  own.copy_(sum);
}

}  // namespace

ReplicaExchange::ReplicaExchange(Communicator& gradients, Communicator& parameters,
                                 ParameterStore& store, const Placement& placement,
                                 const ExpertGroups& groups, UpdateBytes& bytes)
    : gradients_(gradients), parameters_(parameters), store_(store), bytes_(bytes) {
  for (std::size_t layer = 0; layer < placement.layers.size(); ++layer) {
    layers_.push_back(make_layer(static_cast<int>(layer), placement.layers[layer], groups));
  }
}

ReplicaExchange::Layer ReplicaExchange::make_layer(int index, const LayerPlacement& placement,
                                                   const ExpertGroups& groups) const {
  const int rank = gradients_.rank();
  const auto held = store_.layer_slices(index);
  const SliceLayout layout({held.begin(), held.end()}, store_.hidden_size());
  const auto rows_with = [&](const SharedRows& shared, int peer) {
    Rows rows{.count = shared.rows() * store_.hidden_size(), .peer = peer};
    for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
      rows.begins[matrix] = layout.offset(shared.expert, shared.begin, shared.end, matrix);
    }
    return rows;
  };
  Layer layer;
  for (const SharedRows& shared : shared_rows(placement, groups)) {
    layer.is_shared = true;
    if (shared.holder == rank) layer.not_owned.rows.push_back(rows_with(shared, shared.owner));
    if (shared.owner == rank) layer.owned.rows.push_back(rows_with(shared, shared.holder));
  }
  for (Side* side : {&layer.not_owned, &layer.owned}) {
    std::stable_sort(side->rows.begin(), side->rows.end(),
                     [](const Rows& a, const Rows& b) { return a.peer < b.peer; });
    side->counts.assign(static_cast<std::size_t>(gradients_.size()), 0);
    for (const Rows& rows : side->rows) side->counts[rows.peer] += kExpertMatrices * rows.count;
    side->buffer =
        at::empty({sum(side->counts)}, at::TensorOptions(at::kFloat).device(store_.device()));
  }
  layer.sums = sums_of(layer.owned);
  return layer;
}

std::vector<ReplicaExchange::Sum> ReplicaExchange::sums_of(const Side& owned) {
  std::map<std::int64_t, Sum> sums;  // by the first element: a run of rows has one owner
  std::int64_t next = 0;
  for (const Rows& rows : owned.rows) {
    Sum& sum = sums[rows.begins[0]];
    sum.rows = rows;
    sum.sources.push_back({rows.peer, next});
    next += kExpertMatrices * rows.count;
  }
  std::vector<Sum> all;
  for (auto& [begin, sum] : sums) all.push_back(std::move(sum));
  return all;
}

at::Tensor ReplicaExchange::values_of(const Side& side) const {
  return side.buffer.view(store_.type()).narrow(0, 0, sum(side.counts));
}

void ReplicaExchange::start_gradients(int index) {
  Layer& layer = layers_[index];
  if (!layer.is_shared) return;
  HETMOE_CHECK(!layer.gradients_under_way && !layer.values_under_way, "layer ", index,
               " is under way");
  pack(layer.not_owned, store_.slice_gradients(index), layer.not_owned.buffer);
  layer.gradients_under_way.emplace(
      gradients_.all_to_all_v(const_tensor_buffer(layer.not_owned.buffer), layer.not_owned.counts,
                              tensor_buffer(layer.owned.buffer), layer.owned.counts));
  bytes_.gradients += sum(layer.not_owned.counts) * bytes_of(DataType::kFloat32);
}

void ReplicaExchange::finish_gradients(int index) {
  Layer& layer = layers_[index];
  if (!layer.gradients_under_way) return;
  layer.gradients_under_way->wait();
  layer.gradients_under_way.reset();
  const at::Tensor& gradients = store_.slice_gradients(index);
  std::vector<at::Tensor> parts;
  for (const auto& [rows, others] : layer.sums) {
    const auto lower = std::partition_point(
        others.begin(), others.end(), [&](const auto& s) { return s.rank < gradients_.rank(); });
    for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
      const at::Tensor own = gradients.narrow(0, rows.begins[matrix], rows.count);
      parts.clear();
      for (const auto& source : others) {
        parts.push_back(
            layer.owned.buffer.narrow(0, source.begin + matrix * rows.count, rows.count));
      }
      parts.insert(parts.begin() + (lower - others.begin()), own);
      add_in_order(parts, own);
    }
  }
}

void ReplicaExchange::start_values(int index) {
  Layer& layer = layers_[index];
  if (!layer.is_shared) return;
  HETMOE_CHECK(!layer.gradients_under_way && !layer.values_under_way, "layer ", index,
               " is under way");
  const at::Tensor send = values_of(layer.owned);
  at::Tensor receive = values_of(layer.not_owned);
  pack(layer.owned, store_.slice_values(index), send);
  const ConstBuffer buffer = const_tensor_buffer(send);
  layer.values_under_way.emplace(parameters_.all_to_all_v(
      buffer, layer.owned.counts, tensor_buffer(receive), layer.not_owned.counts));
  bytes_.parameters += sum(layer.owned.counts) * bytes_of(buffer.type);
}

void ReplicaExchange::finish_values(int index) {
  Layer& layer = layers_[index];
  if (!layer.values_under_way) return;
  if (layer.values_under_way->done()) {
    bytes_.parameters_hidden +=
        sum(layer.not_owned.counts) * static_cast<std::int64_t>(c10::elementSize(store_.type()));
  }
  layer.values_under_way->wait();
  layer.values_under_way.reset();
  unpack(layer.not_owned, values_of(layer.not_owned), store_.slice_values(index));
}

}  // namespace hetmoe
