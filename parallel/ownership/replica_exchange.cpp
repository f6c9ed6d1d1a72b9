#include "parallel/ownership/replica_exchange.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/model/parameter_specs.h"
#include "parallel/dispatch/tensor_buffer.h"
#include "parallel/placement/held_slices.h"

namespace hetmoe {
namespace {

bool same_rows(const HeldSlice& a, const HeldSlice& b) {
  return a.slice.expert == b.slice.expert && a.slice.begin == b.slice.begin;
}

}  // namespace

ReplicaExchange::ReplicaExchange(const Placement& placement, int rank, int num_ranks,
                                 std::int64_t hidden_size)
    : num_ranks_(num_ranks), layers_(placement.layers.size()) {
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    Layer& layer = layers_[index];
    const LayerPlacement& slices = placement.layers[index];
    layer.has_replicas = std::any_of(slices.slices.begin(), slices.slices.end(),
                                     [](const PlacedSlice& slice) { return slice.share != 1.0; });
    if (!layer.has_replicas) continue;
    const std::vector<HeldSlice> here = held_slices(slices, 0, rank);
    for (int peer = 0; peer < num_ranks; ++peer) {
      if (peer == rank) continue;
      const std::vector<HeldSlice> there = held_slices(slices, 0, peer);
      std::int64_t offset = 0;
      for (const HeldSlice& held : here) {
        const std::int64_t count = kExpertMatrices * held.slice.width() * hidden_size;
        const bool is_shared = std::any_of(there.begin(), there.end(), [&](const HeldSlice& other) {
          return same_rows(held, other);
        });
        if (is_shared && held.owner == peer) layer.replicas.push_back({peer, offset, count});
        if (is_shared && held.owner == rank) layer.copied.push_back({peer, offset, count});
        offset += count;
      }
    }
  }
}

std::vector<std::int64_t> ReplicaExchange::counts(const std::vector<Part>& parts) const {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(num_ranks_), 0);
  for (const Part& part : parts) counts[part.peer] += part.count;
  return counts;
}

void ReplicaExchange::sum_gradients(Communicator& group, ParameterStore& store) const {
  exchange(group, store, &Layer::replicas, &Layer::copied, /*of_gradients=*/true);
}

void ReplicaExchange::send_values(Communicator& group, ParameterStore& store) const {
  exchange(group, store, &Layer::copied, &Layer::replicas, /*of_gradients=*/false);
}

void ReplicaExchange::exchange(Communicator& group, ParameterStore& store,
                               std::vector<Part> Layer::*sent, std::vector<Part> Layer::*received,
                               bool of_gradients) const {
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    const Layer& layer = layers_[index];
    if (!layer.has_replicas) continue;
    const int number = static_cast<int>(index);
    at::Tensor& flat = of_gradients ? store.slice_gradients(number) : store.slice_values(number);
    const auto send_counts = counts(layer.*sent);
    const auto receive_counts = counts(layer.*received);
    at::Tensor out =
        at::empty({std::reduce(send_counts.begin(), send_counts.end())}, flat.options());
    at::Tensor in =
        at::empty({std::reduce(receive_counts.begin(), receive_counts.end())}, flat.options());
    std::int64_t begin = 0;
    for (const Part& part : layer.*sent) {
      out.narrow(0, begin, part.count).copy_(flat.narrow(0, part.offset, part.count));
      begin += part.count;
    }
    group.all_to_all_v(const_tensor_buffer(out), send_counts, tensor_buffer(in), receive_counts)
        .wait();
    begin = 0;
    for (const Part& part : layer.*received) {
      at::Tensor target = flat.narrow(0, part.offset, part.count);
      const at::Tensor source = in.narrow(0, begin, part.count);
      if (of_gradients) {
        target.add_(source);
      } else {
        target.copy_(source);
      }
      begin += part.count;
    }
  }
}

}  // namespace hetmoe
