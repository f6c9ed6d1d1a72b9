#include "core/model/host_moe_layer.h"

#include "core/base/check.h"
#include "core/kernels/router_projection.h"
#include "core/kernels/tensor_work.h"
#include "core/model/forced_experts.h"
#include "core/model/router.h"

namespace hetmoe {
namespace {

/// None of what is undefined.
std::span<const double> values_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {tensor.const_data_ptr<double>(), static_cast<std::size_t>(tensor.numel())};
}

/// Gradients of rows and of weights, those added in fp32.
Work backward_of(const Work& forward) { return {2 * forward.flops, 3 * forward.bytes}; }

class HostMoeLayer final : public MoeLayer {
 public:
  HostMoeLayer(const ModelConfig& config, int layer, const MoeLayerParts& parts,
               ExpertKernels& kernels, TokenDispatcher& dispatcher);

  Output forward_and_keep(const at::Tensor& x, PassState& pass) override;
  at::Tensor backward(const at::Tensor& dy, const at::Tensor& x, MoeContext& context) override;

 private:
  struct Saved;

  void router_backward(std::span<const double> dgates, const at::Tensor& dmass, const at::Tensor& x,
                       Saved& saved, at::Tensor& dx);
  double token_units(const ReceivedTokens& received) const;
  Work expert_work(const at::Tensor& x, double token_units) const;
  std::vector<SliceRows> rows_of_slices(const ReceivedTokens& received) const;

  RouterConfig router_config_;
  int layer_;
  std::vector<double> relative_width_;
  Parameter router_;
  ParameterStore& parameters_;
  ExpertKernels& kernels_;
  TokenDispatcher& dispatcher_;
  HyperExpert* hyper_;
};

struct HostMoeLayer::Saved final : MoeContext {
  PassState* pass = nullptr;
  Routing routing;
  std::unique_ptr<TokenExchange> exchange;
  std::unique_ptr<ExpertContext> experts;
  double token_units = 0;
  Work expert_work;  ///< forward
  std::unique_ptr<HyperContext> hyper;
};

HostMoeLayer::HostMoeLayer(const ModelConfig& config, int layer, const MoeLayerParts& parts,
                           ExpertKernels& kernels, TokenDispatcher& dispatcher)
    : router_config_(config.router),
      layer_(layer),
      relative_width_(relative_widths(expert_widths(config.experts))),
      router_(parts.parameters.dense("layers." + std::to_string(layer) + ".router")),
      parameters_(parts.parameters),
      kernels_(kernels),
      dispatcher_(dispatcher),
      hyper_(parts.hyper) {}

MoeLayer::Output HostMoeLayer::forward_and_keep(const at::Tensor& x, PassState& pass) {
  auto context = std::make_unique<Saved>();
  Saved& saved = *context;
  saved.pass = &pass;
  {
    const Operation operation(
        "router", {product_flops(x.size(0), router_.value.size(0), x.size(1)), bytes_of(x)});
    saved.routing = route(router_logits(x, router_.value), router_config_,
                          forced_experts(layer_, router_config_, pass));
    add_statistics(saved.routing, relative_width_, pass.statistics->layer(layer_));
  }

  {
    const PhaseScope phase(pass.phases, Phase::kDispatchWait);
    saved.exchange = dispatcher_.start_dispatch(layer_, x, saved.routing);
  }
  HyperExpert::Output hyper;
  if (hyper_ != nullptr) hyper = hyper_->forward(layer_, x, saved.routing, pass);
  saved.hyper = std::move(hyper.context);
  const ReceivedTokens* received = nullptr;
  {
    const PhaseScope phase(pass.phases, Phase::kDispatchWait);
    received = &saved.exchange->finish_dispatch();
  }
  saved.token_units = token_units(*received);
  if (!pass.token_units.empty()) pass.token_units[layer_] += saved.token_units;
  {
    saved.expert_work = expert_work(received->x, saved.token_units);
    const PhaseScope phase(pass.phases, Phase::kExpert, saved.expert_work);
    ExpertForward experts = kernels_.forward(received->x, parameters_.layer_weights(layer_),
                                             rows_of_slices(*received), received->gate);
    saved.experts = std::move(experts.context);
    saved.exchange->start_combine(experts.y);
  }
  at::Tensor y;
  {
    const PhaseScope phase(pass.phases, Phase::kCombineWait);
    y = saved.exchange->finish_combine();
  }
  return {hyper_ != nullptr ? y.add_(hyper.y) : y, std::move(context)};
}

at::Tensor HostMoeLayer::backward(const at::Tensor& dy, const at::Tensor& x, MoeContext& context) {
  auto& saved = static_cast<Saved&>(context);
  PhaseClock* phases = saved.pass->phases;
  {
    const PhaseScope phase(phases, Phase::kDispatchWait);
    saved.exchange->start_dispatch_gradient(dy);
  }
  HyperExpert::Gradient hyper;
  if (hyper_ != nullptr) {
    hyper = hyper_->backward(layer_, dy, x, saved.routing, *saved.hyper);
  }
  at::Tensor dy_received;
  {
    const PhaseScope phase(phases, Phase::kDispatchWait);
    dy_received = saved.exchange->finish_dispatch_gradient();
  }
  {
    const PhaseScope phase(phases, Phase::kExpert, backward_of(saved.expert_work));
    const ExpertBackward experts =
        kernels_.backward(dy_received, parameters_.layer_weights(layer_), *saved.experts);
    saved.exchange->start_combine_gradient(experts.dx, experts.dgates);
  }
  TokenExchange::Gradient gradient;
  {
    const PhaseScope phase(phases, Phase::kCombineWait);
    gradient = saved.exchange->finish_combine_gradient();
  }
  at::Tensor dx = gradient.dx;
  router_backward(gradient.dgates, hyper.dmass, x, saved, dx);
  return hyper_ != nullptr ? dx.add_(hyper.dx) : dx;
}

/// Adds what goes back through the router to dx.
void HostMoeLayer::router_backward(std::span<const double> dgates, const at::Tensor& dmass,
                                   const at::Tensor& x, Saved& saved, at::Tensor& dx) {
  const Operation operation(
      "router", {2 * product_flops(x.size(0), router_.value.size(0), x.size(1)), 2 * bytes_of(x)});
  const LayerStatistics statistics = saved.pass->statistics->layer(layer_);
  const at::Tensor dlogits = route_backward(saved.routing, {dgates, values_of(dmass)},
                                            {.config = router_config_,
                                             .relative_width = relative_width_,
                                             .global_selected = statistics.selected,
                                             .global_tokens = saved.pass->microbatch.global_tokens,
                                             .microbatches = saved.pass->microbatch.microbatches});
  router_gradients(dlogits, x, router_.value, dx, router_.gradient, router_.next_sum());
}

/// Three matrices of every slice.
Work HostMoeLayer::expert_work(const at::Tensor& x, double token_units) const {
  double weight_bytes = 0;
  for (const SliceWeights& slice : parameters_.layer_weights(layer_)) {
    weight_bytes += bytes_of(slice.gate_up, slice.down);
  }
  return {3 * 2 * token_units * static_cast<double>(x.size(1)), weight_bytes + 2 * bytes_of(x)};
}

double HostMoeLayer::token_units(const ReceivedTokens& received) const {
  const std::span<const Slice> slices = parameters_.layer_slices(layer_);
  std::int64_t units = 0;
  for (const std::int32_t slice : received.slice) units += slices[slice].width();
  return static_cast<double>(units);
}

std::vector<SliceRows> HostMoeLayer::rows_of_slices(const ReceivedTokens& received) const {
  std::vector<SliceRows> rows(parameters_.layer_slices(layer_).size());
  for (std::size_t s = 0; s < received.slice.size(); ++s) {
    const auto slice = static_cast<std::size_t>(received.slice[s]);
    HETMOE_CHECK(slice < rows.size(), "slice ", slice, " of ", rows.size());
    rows[slice].row.push_back(received.row[s]);
    rows[slice].selection.push_back(static_cast<std::int64_t>(s));
  }
  return rows;
}

}  // namespace

std::unique_ptr<MoeLayer> HostMixture::make_layer(const ModelConfig& config, int layer,
                                                  const MoeLayerParts& parts) {
  return std::make_unique<HostMoeLayer>(config, layer, parts, *kernels_, *dispatcher_);
}

}  // namespace hetmoe
