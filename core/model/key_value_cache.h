#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/model/model_config.h"

namespace hetmoe {

/// Rotated keys and values of the tokens of one sequence, of every layer, so that attention need
/// not make them again when tokens are added. On the host, fp32 (fp64 for fp64). Grows as it is
/// filled, twice as large each time: at most 8 (16) bytes per layer, key/value head, dimension and
/// token twice over.
class KeyValueCache {
 public:
  KeyValueCache(const ModelConfig& config, at::ScalarType compute_type);

  /// Tokens that all layers hold.
  std::int64_t length() const { return length_; }

  struct Heads {
    at::Tensor key, value;  ///< [num_kv_heads, positions, head_dim]; views of the cache
  };
  /// Puts keys and values [num_kv_heads, added, head_dim] of new tokens behind those of the layer
  /// and gives all. Until advance() the same place is written again.
  Heads append(int layer, const at::Tensor& key, const at::Tensor& value);

  /// The new tokens of all layers are part of the sequence from now on.
  void advance(std::int64_t tokens);

 private:
  void make_room(Heads& layer, std::int64_t positions) const;

  std::int64_t length_ = 0;
  std::vector<Heads> layers_;  ///< [num_kv_heads, capacity, head_dim]
};

}  // namespace hetmoe
