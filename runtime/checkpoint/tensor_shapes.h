#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/model/model_config.h"
#include "runtime/checkpoint/manifest.h"

namespace hetmoe {

/// Every parameter of a model by its global name: [rows, columns], a vector [rows]. Expert matrices
/// are all [width, hidden_size].
using TensorShapes = std::map<std::string, std::vector<std::int64_t>>;
TensorShapes tensor_shapes(const ModelConfig& config);

/// Refuses a checkpoint that does not hold exactly these parameters and, with `moments`, their
/// moments. Errors: StorageError that names `checkpoint`, the first tensor, its shape there and the
/// expected one.
void require_tensors(const Manifest& manifest, const TensorShapes& shapes, bool moments,
                     const std::string& checkpoint);

/// Refuses a checkpoint of weights alone, from which a run may begin but not go on. Errors:
/// StorageError that names `checkpoint` and the way.
void require_moments(const Manifest& manifest, const std::string& checkpoint);

}  // namespace hetmoe
