#include "core/model/hyper_expert.h"

#include <utility>

#include "core/model/free_adapters.h"
#include "core/model/generated_expert.h"
#include "core/model/hyper_parameters.h"

namespace hetmoe {

std::unique_ptr<HyperExpert> make_hyper_expert(const ModelConfig& config,
                                               ParameterStore& parameters,
                                               WaitForHypernetwork wait) {
  if (!config.hyper.enabled) return nullptr;
  if (has_hypernetwork(config)) {
    return std::make_unique<GeneratedExpert>(config, parameters, std::move(wait));
  }
  return std::make_unique<FreeAdapters>(config, parameters);
}

}  // namespace hetmoe
