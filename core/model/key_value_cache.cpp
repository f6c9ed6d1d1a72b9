#include "core/model/key_value_cache.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// `narrow` with the same values at its beginning.
at::Tensor with_room(const at::Tensor& narrow, std::int64_t positions, std::int64_t used) {
  const at::Tensor wide = at::empty({narrow.size(0), positions, narrow.size(2)}, narrow.options());
  wide.narrow(1, 0, used).copy_(narrow.narrow(1, 0, used));
  return wide;
}

}  // namespace

KeyValueCache::KeyValueCache(const ModelConfig& config, at::ScalarType compute_type) {
  const auto type = compute_type == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor none =
      at::empty({config.num_kv_heads, 0, head_dim(config)}, at::TensorOptions(type));
  layers_.assign(static_cast<std::size_t>(config.num_layers), {none, none});
}

KeyValueCache::Heads KeyValueCache::append(int layer, const at::Tensor& key,
                                           const at::Tensor& value) {
  HETMOE_CHECK(layer >= 0 && layer < static_cast<int>(layers_.size()), "layer ", layer, " of ",
               layers_.size());
  Heads& held = layers_[layer];
  const std::int64_t added = key.size(1);
  make_room(held, length_ + added);
  held.key.narrow(1, length_, added).copy_(key);
  held.value.narrow(1, length_, added).copy_(value);
  return {held.key.narrow(1, 0, length_ + added), held.value.narrow(1, 0, length_ + added)};
}

void KeyValueCache::advance(std::int64_t tokens) {
  length_ += tokens;
  for (const Heads& layer : layers_) {
    HETMOE_CHECK(layer.key.size(1) >= length_, "a layer has ", layer.key.size(1), " of ", length_);
  }
}

void KeyValueCache::make_room(Heads& layer, std::int64_t positions) const {
  const std::int64_t capacity = layer.key.size(1);
  if (positions <= capacity) return;
  const std::int64_t wanted = std::max(positions, 2 * capacity);
  layer.key = with_room(layer.key, wanted, length_);
  layer.value = with_room(layer.value, wanted, length_);
}

}  // namespace hetmoe
