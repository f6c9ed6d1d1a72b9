#pragma once

#include <memory>
#include <utility>

#include "core/kernels/expert_kernels.h"
#include "core/model/moe_layer.h"
#include "core/model/token_dispatcher.h"

namespace hetmoe {

/// Layers on tensors of the host.
class HostMixture final : public Mixture {
 public:
  HostMixture(std::unique_ptr<ExpertKernels> kernels, std::unique_ptr<TokenDispatcher> dispatcher)
      : kernels_(std::move(kernels)), dispatcher_(std::move(dispatcher)) {}

  std::unique_ptr<MoeLayer> make_layer(const ModelConfig& config, int layer,
                                       const MoeLayerParts& parts) override;
  ExchangedBytes bytes_sent() const override { return dispatcher_->bytes_sent(); }

 private:
  std::unique_ptr<ExpertKernels> kernels_;
  std::unique_ptr<TokenDispatcher> dispatcher_;
};

}  // namespace hetmoe
