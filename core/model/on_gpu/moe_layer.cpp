#include <ATen/ops/mm.h>

#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/gpu/chosen_products.h"
#include "core/kernels/linear.h"
#include "core/model/forced_experts.h"
#include "core/model/gpu_mixture.h"
#include "core/model/on_gpu/router.h"
#include "core/model/on_gpu/selected_experts.h"
#include "core/model/router.h"
#include "core/tensor/device.h"

namespace hetmoe {
namespace {

class GpuMoeLayer final : public MoeLayer {
 public:
  GpuMoeLayer(const ModelConfig& config, int layer, const MoeLayerParts& parts,
              on_gpu::Experts& experts, GpuTokenDispatcher& dispatcher);

  Output forward_and_keep(const at::Tensor& x, PassState& pass) override;
  at::Tensor backward(const at::Tensor& dy, const at::Tensor& x, MoeContext& context) override;

 private:
  struct Saved;

  void compute_part(int part, Saved& saved);
  void compute_part_gradient(int part, Saved& saved);
  at::Tensor router_backward(const at::Tensor& dgate, const at::Tensor& dmass, const at::Tensor& x,
                             Saved& saved);
  double token_units(const on_gpu::SlicePlaces& places) const;

  RouterConfig router_config_;
  int layer_;
  std::vector<double> relative_width_;
  at::Tensor relative_width_there_;  ///< [E] fp64, on the GPU
  Parameter router_;
  ParameterStore& parameters_;
  on_gpu::Experts& experts_;
  GpuTokenDispatcher& dispatcher_;
  HyperExpert* hyper_;
};

struct GpuMoeLayer::Saved final : MoeContext {
  PassState* pass = nullptr;
  GpuRouting routing;
  std::unique_ptr<GpuTokenExchange> exchange;
  std::vector<on_gpu::ExpertsContext> experts;  ///< by part of the tokens
  Routing selected;                             ///< for the small expert alone
  std::unique_ptr<HyperContext> hyper;
};

GpuMoeLayer::GpuMoeLayer(const ModelConfig& config, int layer, const MoeLayerParts& parts,
                         on_gpu::Experts& experts, GpuTokenDispatcher& dispatcher)
    : router_config_(config.router),
      layer_(layer),
      relative_width_(relative_widths(expert_widths(config.experts))),
      relative_width_there_(uploaded(std::span<const double>(relative_width_), at::kDouble)),
      router_(parts.parameters.dense("layers." + std::to_string(layer) + ".router")),
      parameters_(parts.parameters),
      experts_(experts),
      dispatcher_(dispatcher),
      hyper_(parts.hyper) {}

MoeLayer::Output GpuMoeLayer::forward_and_keep(const at::Tensor& x, PassState& pass) {
  auto context = std::make_unique<Saved>();
  Saved& saved = *context;
  saved.pass = &pass;
  saved.routing = on_gpu::route(at::mm(x.to(at::kFloat), router_.value.to(at::kFloat).t()),
                                router_config_, forced_experts(layer_, router_config_, pass));
  on_gpu::add_statistics(saved.routing, relative_width_there_, pass.gpu.statistics[layer_]);
  std::optional<on_gpu::SelectedExperts> selected;
  if (hyper_ != nullptr) selected.emplace(saved.routing);
  saved.exchange = dispatcher_.start_dispatch(layer_, x, saved.routing);
  saved.experts.resize(static_cast<std::size_t>(saved.exchange->parts()));
  for (int part = 0; part < saved.exchange->parts(); ++part) compute_part(part, saved);
  // The host groups tokens by the sets that came with its wait while the GPU is busy with experts;
  // the small expert then computes while rows travel back.
  HyperExpert::Output hyper;
  if (hyper_ != nullptr) {
    saved.selected = selected->routing();
    hyper = hyper_->forward(layer_, x, saved.selected, pass);
    saved.hyper = std::move(hyper.context);
  }
  at::Tensor y;
  {
    const PhaseScope phase(pass.phases, Phase::kCombineWait);
    y = saved.exchange->finish_combine();
  }
  return {hyper_ != nullptr ? y.add_(hyper.y) : y, std::move(context)};
}

/// The host goes on while the GPU computes: the next part is on its way then.
void GpuMoeLayer::compute_part(int part, Saved& saved) {
  PassState& pass = *saved.pass;
  GpuTokenExchange::Received received;
  {
    const PhaseScope phase(pass.phases, Phase::kDispatchWait);
    received = saved.exchange->finish_dispatch(part);
  }
  if (!pass.token_units.empty()) pass.token_units[layer_] += token_units(received.places);
  const PhaseScope phase(pass.phases, Phase::kExpert);
  saved.exchange->start_combine(part,
                                experts_.forward(received.x, parameters_.layer_weights(layer_),
                                                 std::move(received.places), saved.experts[part]));
}

/// Of one part, and on their way back.
void GpuMoeLayer::compute_part_gradient(int part, Saved& saved) {
  at::Tensor dy;
  {
    const PhaseScope phase(saved.pass->phases, Phase::kDispatchWait);
    dy = saved.exchange->finish_dispatch_gradient(part);
  }
  const PhaseScope phase(saved.pass->phases, Phase::kExpert);
  const on_gpu::ExpertsGradient experts =
      experts_.backward(dy, parameters_.layer_weights(layer_), saved.experts[part]);
  saved.exchange->start_combine_gradient(part, experts.dx, experts.dgate);
}

at::Tensor GpuMoeLayer::backward(const at::Tensor& dy, const at::Tensor& x, MoeContext& context) {
  auto& saved = static_cast<Saved&>(context);
  saved.exchange->start_dispatch_gradient(dy);
  HyperExpert::Gradient hyper;
  if (hyper_ != nullptr) {
    hyper = hyper_->backward(layer_, dy, x, saved.selected, *saved.hyper);
  }
  for (int part = 0; part < saved.exchange->parts(); ++part) compute_part_gradient(part, saved);
  GpuTokenExchange::Gradient gradient;
  {
    const PhaseScope phase(saved.pass->phases, Phase::kCombineWait);
    gradient = saved.exchange->finish_combine_gradient();
  }
  at::Tensor dx = gradient.dx.add(router_backward(gradient.dgate, hyper.dmass, x, saved));
  return hyper_ != nullptr ? dx.add_(hyper.dx) : dx;
}

at::Tensor GpuMoeLayer::router_backward(const at::Tensor& dgate, const at::Tensor& dmass,
                                        const at::Tensor& x, Saved& saved) {
  const PassState& pass = *saved.pass;
  const at::Tensor dlogits =
      on_gpu::route_backward(saved.routing, dgate, dmass,
                             {.config = router_config_,
                              .relative_width = relative_width_,
                              .global_selected = pass.gpu.statistics[layer_].narrow(
                                  0, 0, static_cast<std::int64_t>(relative_width_.size())),
                              .global_tokens = pass.microbatch.global_tokens,
                              .microbatches = pass.microbatch.microbatches});
  add_weight_gradient(dlogits, x.to(at::kFloat), router_.gradient, router_.next_sum());
  return at::mm(dlogits, router_.value.to(at::kFloat)).to(x.scalar_type());
}

double GpuMoeLayer::token_units(const on_gpu::SlicePlaces& places) const {
  const std::span<const Slice> slices = parameters_.layer_slices(layer_);
  std::int64_t units = 0;
  for (std::size_t i = 0; i < slices.size(); ++i) units += places.of_slice[i] * slices[i].width();
  return static_cast<double>(units);
}

class GpuMixture final : public Mixture {
 public:
  GpuMixture(std::unique_ptr<GpuTokenDispatcher> dispatcher, const gpu::ProductTable& products,
             int reserve, GateUpProducts gate_up)
      : experts_(gpu::make_chosen_products(products, reserve), gate_up),
        dispatcher_(std::move(dispatcher)) {}

  std::unique_ptr<MoeLayer> make_layer(const ModelConfig& config, int layer,
                                       const MoeLayerParts& parts) override {
    return std::make_unique<GpuMoeLayer>(config, layer, parts, experts_, *dispatcher_);
  }
  ExchangedBytes bytes_sent() const override { return dispatcher_->bytes_sent(); }

 private:
  on_gpu::Experts experts_;
  std::unique_ptr<GpuTokenDispatcher> dispatcher_;
};

}  // namespace

std::unique_ptr<Mixture> make_gpu_mixture(std::unique_ptr<GpuTokenDispatcher> dispatcher,
                                          const gpu::ProductTable& products, int reserve,
                                          GateUpProducts gate_up) {
  return std::make_unique<GpuMixture>(std::move(dispatcher), products, reserve, gate_up);
}

}  // namespace hetmoe
