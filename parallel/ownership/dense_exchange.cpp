#include "parallel/ownership/dense_exchange.h"

#include <utility>

#include "core/base/check.h"
#include "core/tensor/zero_pages.h"
#include "parallel/dispatch/tensor_buffer.h"

namespace hetmoe {
namespace {

void finish(std::optional<Pending>& under_way) {
  if (!under_way) return;
  under_way->wait();
  under_way.reset();
}

}  // namespace

DenseExchange::DenseExchange(Communicator& gradients, Communicator& parameters,
                             ParameterStore& store, std::vector<DenseBucket> buckets,
                             UpdateBytes& bytes)
    : gradients_(gradients),
      parameters_(parameters),
      store_(store),
      buckets_(std::move(buckets)),
      owned_begins_(1, 0),
      bytes_(bytes),
      gradients_under_way_(buckets_.size()),
      values_under_way_(buckets_.size()) {
  for (const DenseBucket& bucket : buckets_) {
    owned_begins_.push_back(owned_begins_.back() + bucket.counts[gradients.rank()]);
  }
  if (has_peers()) {
    owned_gradients_ =
        zero_pages(owned_elements(), at::TensorOptions(at::kFloat).device(store.device()));
  }
}

void DenseExchange::start_gradients(std::size_t index) {
  if (!has_peers()) return;
  const DenseBucket& bucket = buckets_[index];
  const std::int64_t own = bucket.counts[gradients_.rank()];
  HETMOE_CHECK(!gradients_under_way_[index], "block ", bucket.block, " is under way");
  at::Tensor owned = owned_gradients_.narrow(0, owned_begins_[index], own);
  gradients_under_way_[index].emplace(gradients_.reduce_scatter_v(
      const_tensor_buffer(store_.dense_gradients().narrow(0, bucket.begin, bucket.elements())),
      bucket.counts, tensor_buffer(owned)));
  bytes_.gradients += (bucket.elements() - own) * bytes_of(DataType::kFloat32);
}

void DenseExchange::finish_gradients(std::size_t bucket) { finish(gradients_under_way_[bucket]); }

void DenseExchange::start_values(std::size_t index) {
  if (!has_peers()) return;
  const DenseBucket& bucket = buckets_[index];
  HETMOE_CHECK(!values_under_way_[index], "block ", bucket.block, " is under way");
  at::Tensor values = store_.dense_values().narrow(0, bucket.begin, bucket.elements());
  const Buffer buffer = tensor_buffer(values);
  values_under_way_[index].emplace(parameters_.all_gather_v(buffer, bucket.counts));
  bytes_.parameters +=
      (parameters_.size() - 1) * bucket.counts[parameters_.rank()] * bytes_of(buffer.type);
}

void DenseExchange::finish_values(std::size_t index) {
  if (!values_under_way_[index]) return;
  if (values_under_way_[index]->done()) {
    const DenseBucket& bucket = buckets_[index];
    bytes_.parameters_hidden += (bucket.elements() - bucket.counts[parameters_.rank()]) *
                                static_cast<std::int64_t>(c10::elementSize(store_.type()));
  }
  finish(values_under_way_[index]);
}

}  // namespace hetmoe
