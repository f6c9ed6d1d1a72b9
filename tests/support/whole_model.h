#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/model/decoder.h"
#include "core/model/host_moe_layer.h"
#include "core/model/parameter_store.h"
#include "runtime/run_config.h"

namespace hetmoe::test {

/// The model over a store that holds all of it, with plain loops for the experts: what inference on
/// any number of ranks must give. Not for forced routing. The store must outlive this.
class WholeModel {
 public:
  WholeModel(const RunConfig& config, ParameterStore& parameters);

  /// Sum of the cross entropies of tokens 1, 2, ...
  double loss_sum(std::span<const std::int32_t> tokens);
  std::vector<float> next_token_logits(std::span<const std::int32_t> tokens);

 private:
  PassState pass_over(std::span<const std::int32_t> inputs, std::span<const std::int32_t> targets);

  HostMixture mixture_;
  OpenParameterGate gate_;
  NoGradientListener listener_;
  RouterStatistics statistics_;
  Decoder decoder_;
};

}  // namespace hetmoe::test
