#include "core/model/generated_expert.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <functional>

#include "core/base/check.h"
#include "core/kernels/factorised_adapter.h"
#include "core/kernels/on_gpu/rows.h"
#include "core/model/hyper_parameters.h"
#include "core/model/parameter_specs.h"

namespace hetmoe {
namespace {

enum class Form { kAllSets, kOccurringSets, kFactorised };

/// selected_mass on a GPU, fp32: a sum of elements per token, by lists of one length.
at::Tensor selected_mass_on_gpu(const Routing& routing) {
  const std::int64_t experts = routing.probabilities.size(1);
  std::int64_t most = 1;
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    most = std::max(most, routing.offset[t + 1] - routing.offset[t]);
  }
  std::vector<std::int32_t> element(routing.tokens() * most, -1);
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
      element[t * most + s - routing.offset[t]] =
          static_cast<std::int32_t>(t * experts + routing.expert[s]);
    }
  }
  return on_gpu::sum_elements(routing.probabilities, element, most);
}

at::Tensor selected_mass_on_cpu(const Routing& routing) {
  std::vector<double> mass(routing.tokens());
  const at::Tensor probabilities = routing.probabilities.to(at::kDouble);
  const auto* p = probabilities.const_data_ptr<double>();
  for (std::int64_t t = 0; t < routing.tokens(); ++t, p += probabilities.size(1)) {
    for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
      mass[t] += p[routing.expert[s]];
    }
  }
  return at::tensor(mass, at::TensorOptions(at::kDouble).device(at::kCPU));
}

/// [T, 1]: the router's probability of every token's selected set, in the type of y.
at::Tensor selected_mass(const Routing& routing, const at::Tensor& y) {
  const at::Tensor mass =
      y.is_cpu() ? selected_mass_on_cpu(routing) : selected_mass_on_gpu(routing);
  return mass.to(y.scalar_type()).unsqueeze(1);
}

/// [T], fp64; on a GPU fp32.
at::Tensor row_products(const at::Tensor& a, const at::Tensor& b) {
  return at::sum(a.to(a.is_cpu() ? at::kDouble : at::kFloat).mul(b), {1});
}

}  // namespace

struct GeneratedExpert::Context final : HyperContext {
  Form form = Form::kAllSets;
  TokenGroups groups;
  Hypernetwork::Encoded encoded;  ///< of the sets that occur
  at::Tensor code;                ///< the same in the compute type
  Adapters weights;
  at::Tensor hidden;
  at::Tensor mass, ungated;  ///< gated only
};

GeneratedExpert::GeneratedExpert(const ModelConfig& config, ParameterStore& parameters,
                                 WaitForHypernetwork wait)
    : config_(config),
      hypernetwork_(config, parameters),
      wait_(std::move(wait)),
      type_(parameters.type()),
      products_(make_group_products(parameters.device())) {
  if (config.router.kind == RouterKind::kTopK) {
    sets_ = number_of_sets(config.experts.count, config.router.top_k);
  }
}

bool GeneratedExpert::within_limit(std::int64_t sets) const {
  const auto limit = static_cast<double>(config_.hyper.memory_limit);
  const auto value_bytes = static_cast<double>(c10::elementSize(type_));
  return limit == 0 || generated_bytes(config_, static_cast<double>(sets), value_bytes) <= limit;
}

bool GeneratedExpert::takes_all_sets(const Microbatch& microbatch) const {
  if (all_sets_) return true;
  const std::int64_t tokens = microbatch.tokens() * microbatch.microbatches;
  return sets_ > 0 && sets_ <= tokens / 2 && within_limit(sets_);
}

Adapters GeneratedExpert::weights_of_all_sets(int layer, PassState& pass) {
  if (!all_sets_) {
    wait_(pass);
    const ExpertSets sets = all_sets(config_.experts.count, config_.router.top_k);
    AllSets& all = all_sets_.emplace();
    std::vector<at::Tensor> codes;
    for (int i = 0; i < config_.num_layers; ++i) {
      codes.push_back(all.layers.emplace_back(hypernetwork_.encode(i, sets)).code);
    }
    all.code = at::cat(codes, 0).to(type_);
    all.weights = generate_adapters(all.code, hypernetwork_.heads());
  }
  return all_sets_->weights.narrow(layer * sets_, sets_);
}

AdapterForward GeneratedExpert::forward_of_occurring_sets(int layer, const at::Tensor& x,
                                                          const Routing& routing, Context& context,
                                                          PassState& pass) {
  wait_(pass);
  SelectedSets selected = distinct_sets(routing);
  const std::int64_t sets = selected.sets.size();
  const bool factorised = 2 * sets > routing.tokens() || !within_limit(sets);
  context.form = factorised ? Form::kFactorised : Form::kOccurringSets;
  context.encoded = hypernetwork_.encode(layer, selected.sets);
  context.code = context.encoded.code.to(type_);
  context.groups = std::move(selected.tokens);
  if (factorised) {
    return factorised_adapter_forward(x, context.groups, context.code, hypernetwork_.heads());
  }
  context.weights = generate_adapters(context.code, hypernetwork_.heads());
  return adapter_forward(x, context.groups, context.weights, products_.get());
}

HyperExpert::Output GeneratedExpert::forward(int layer, const at::Tensor& x, const Routing& routing,
                                             PassState& pass) {
  auto context = std::make_unique<Context>();
  AdapterForward result;
  if (takes_all_sets(pass.microbatch)) {
    context->weights = weights_of_all_sets(layer, pass);
    context->groups = tokens_of_all_sets(routing, config_.experts.count, config_.router.top_k);
    result = adapter_forward(x, context->groups, context->weights, products_.get());
  } else {
    result = forward_of_occurring_sets(layer, x, routing, *context, pass);
  }
  context->hidden = std::move(result.hidden);
  if (config_.hyper.gated) {
    context->mass = selected_mass(routing, result.y);
    context->ungated = result.y;
    result.y = result.y.mul(context->mass);
  }
  return {std::move(result.y), std::move(context)};
}

HyperExpert::Gradient GeneratedExpert::backward(int layer, const at::Tensor& dy,
                                                const at::Tensor& x, const Routing& /*routing*/,
                                                HyperContext& context) {
  auto& saved = static_cast<Context&>(context);
  if (!config_.hyper.gated) return {add_gradients(layer, dy, x, saved), {}};
  return {add_gradients(layer, dy.mul(saved.mass), x, saved), row_products(saved.ungated, dy)};
}

at::Tensor GeneratedExpert::add_gradients(int layer, const at::Tensor& dy, const at::Tensor& x,
                                          Context& context) {
  if (context.form == Form::kAllSets) {
    HETMOE_CHECK(all_sets_.has_value(), "weights of layer ", layer, " dropped before backward");
    if (all_sets_->has_gradients.empty()) {
      all_sets_->gradients = empty_gradients_of(all_sets_->weights);
      all_sets_->has_gradients.resize(config_.num_layers);
    }
    const bool continues = all_sets_->has_gradients[layer];
    all_sets_->has_gradients[layer] = true;
    Adapters gradients = all_sets_->gradients.narrow(layer * sets_, sets_);
    return adapter_backward(dy, x, context.groups, context.weights, context.hidden, gradients,
                            continues ? GradientSum::kContinue : GradientSum::kBegin,
                            products_.get());
  }
  at::Tensor dx, dcode;
  if (context.form == Form::kFactorised) {
    FactorisedBackward result =
        factorised_adapter_backward(dy, x, context.groups, context.code, context.hidden,
                                    hypernetwork_.heads(), hypernetwork_.next_heads_sum());
    dx = std::move(result.dx);
    dcode = std::move(result.dcode);
  } else {
    Adapters gradients = empty_gradients_of(context.weights);
    dx = adapter_backward(dy, x, context.groups, context.weights, context.hidden, gradients,
                          GradientSum::kBegin, products_.get());
    dcode = generate_adapters_backward(gradients, context.code, hypernetwork_.heads(),
                                       hypernetwork_.next_heads_sum());
  }
  hypernetwork_.encode_backward(dcode, context.encoded);
  return dx;
}

void GeneratedExpert::finish_gradients() {
  if (all_sets_ && !all_sets_->has_gradients.empty()) {
    HETMOE_CHECK(std::ranges::all_of(all_sets_->has_gradients, std::identity()),
                 "a layer had no backward pass");
    const at::Tensor dcode =
        generate_adapters_backward(all_sets_->gradients, all_sets_->code, hypernetwork_.heads(),
                                   hypernetwork_.next_heads_sum());
    for (const Hypernetwork::Encoded& encoded : all_sets_->layers) {
      hypernetwork_.encode_backward(dcode.narrow(0, encoded.layer * sets_, sets_), encoded);
    }
  }
  parameters_changed();  // the step's update follows
}

}  // namespace hetmoe
