#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/model_config.h"
#include "runtime/exchange/external_class.h"

namespace hetmoe {

/// A tensor of a model in transformers, and which of ours it is.
struct ExternalTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  /// Our global name; empty: the class has a tensor that we have not, and it is all zero.
  std::string source;
  /// Ours is [width, hidden], theirs [hidden, width]: `down`. Theirs may be wider than ours; what
  /// is beyond is zero. Not transposed, rows beyond ours are.
  bool transposed = false;
};

/// Every tensor of a model in a class, layer after layer. Experts are named one by one, as the hub
/// has them and as all versions of transformers load them. Qwen2-MoE has a shared expert, which
/// gets one hidden unit and zeros: it adds exactly 0. One expert alone (kLlama) has no router
/// there.
std::vector<ExternalTensor> external_tensors(const ModelConfig& model, ExternalClass external);

}  // namespace hetmoe
