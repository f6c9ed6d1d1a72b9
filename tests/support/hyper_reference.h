#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

#include "core/model/model_config.h"
#include "core/model/routing.h"

namespace hetmoe {

/// HyperMoE's small expert as its authors released it: every token generates all of its weights,
/// by plain operations that autograd differentiates. `parameter` gives tensors by their names.
/// Shape: x [T, D] -> [T, D]. Memory: 2 D r values per token.
/// Source: HyperMoE (arXiv 2402.12656), released code.
at::Tensor per_token_hyper_expert(const ModelConfig& config,
                                  const std::function<at::Tensor(const std::string&)>& parameter,
                                  int layer, const at::Tensor& x, const Routing& routing);

}  // namespace hetmoe
