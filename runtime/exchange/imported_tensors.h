#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/model_config.h"
#include "runtime/exchange/external_class.h"
#include "runtime/exchange/external_weights.h"

namespace hetmoe {

/// Where one of our tensors stands in the weights of another program.
struct ImportedTensor {
  std::string name;                 ///< ours
  std::vector<std::int64_t> shape;  ///< ours
  std::string source;               ///< theirs; empty: they have none, ours is zero
  std::int64_t begin = 0;           ///< its first element there, where several are one tensor
  bool transposed = false;          ///< theirs is [hidden, width]
};

/// All tensors of the model. Experts may be tensors of their own, or stacked as transformers 5
/// holds them in memory (gate_up_proj [E, 2 h, D], down_proj [E, D, h]); the router of one expert
/// alone is zero. Compares every name and shape: what is missing, of another shape, or of no use is
/// refused, but for frequencies of rotary positions, which old files hold, and a head that equals
/// the embedding which it is tied to. Errors: StorageError that names the first.
std::vector<ImportedTensor> imported_tensors(const ModelConfig& model, ExternalClass external,
                                             const ExternalWeights& weights);

/// The values in our layout. Memory: twice the tensor.
std::vector<float> read_imported(const ImportedTensor& tensor, const ExternalWeights& weights);

}  // namespace hetmoe
