#include "core/model/free_adapters.h"

#include <numeric>
#include <string>

#include "core/model/hyper_parameters.h"

namespace hetmoe {
namespace {

/// Adapters are in one group of tokens each per pass, so a token that selected several experts goes
/// through as many passes. Outputs add up in that order, in fp32 where rounding would add up too.
class PassSum {
 public:
  explicit PassSum(at::ScalarType type) : type_(type) {}

  void add(const at::Tensor& rows) {
    if (!sum_.defined()) {
      sum_ = rows;
    } else if (sum_.scalar_type() == type_ && type_ == at::kBFloat16) {
      sum_ = sum_.to(at::kFloat).add_(rows);
    } else {
      sum_.add_(rows);
    }
  }
  at::Tensor take() { return sum_.to(type_); }

 private:
  at::ScalarType type_;
  at::Tensor sum_;
};

/// Tokens by their `pass`-th selected expert; tokens that selected fewer are in no group.
TokenGroups tokens_by_selection(const Routing& routing, std::int64_t pass, std::int64_t experts) {
  std::vector<std::vector<std::int64_t>> tokens(experts);
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    const std::int64_t selection = routing.offset[t] + pass;
    if (selection < routing.offset[t + 1]) tokens[routing.expert[selection]].push_back(t);
  }
  TokenGroups groups;
  for (const auto& of_expert : tokens) {
    groups.token.insert(groups.token.end(), of_expert.begin(), of_expert.end());
    groups.begin.push_back(static_cast<std::int64_t>(groups.token.size()));
  }
  return groups;
}

TokenGroups one_group(std::int64_t tokens) {
  TokenGroups groups;
  groups.token.resize(tokens);
  std::iota(groups.token.begin(), groups.token.end(), 0);
  groups.begin.push_back(tokens);
  return groups;
}

}  // namespace

struct FreeAdapters::Context final : HyperContext {
  std::vector<TokenGroups> passes;
  std::vector<at::Tensor> hidden;
};

FreeAdapters::FreeAdapters(const ModelConfig& config, const ParameterStore& parameters)
    : adapters_(num_adapters(config.hyper, config.experts.count)),
      products_(make_group_products(parameters.device())) {
  const std::int64_t features = config.hidden_size;
  const std::int64_t rank = config.hyper.rank;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".hyper.";
    const auto stack = [&](at::Tensor Parameter::*part) -> Adapters {
      if (!(parameters.dense(prefix + "down").*part).defined()) return {};
      const auto tensor = [&](const char* name) { return parameters.dense(prefix + name).*part; };
      return Adapters{tensor("down").view({adapters_, features, rank}),
                      tensor("up").view({adapters_, rank, features}),
                      tensor("down_bias").view({adapters_, rank}),
                      tensor("up_bias").view({adapters_, features})};
    };
    layers_.push_back(
        {stack(&Parameter::value),
         stack(&Parameter::gradient),
         {parameters.dense(prefix + "down"), parameters.dense(prefix + "up"),
          parameters.dense(prefix + "down_bias"), parameters.dense(prefix + "up_bias")}});
  }
}

std::vector<TokenGroups> FreeAdapters::passes(const Routing& routing) const {
  if (adapters_ == 1) return {one_group(routing.tokens())};
  std::int64_t most = 1;
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    most = std::max(most, routing.offset[t + 1] - routing.offset[t]);
  }
  std::vector<TokenGroups> passes;
  for (std::int64_t pass = 0; pass < most; ++pass) {
    passes.push_back(tokens_by_selection(routing, pass, adapters_));
  }
  return passes;
}

HyperExpert::Output FreeAdapters::forward(int layer, const at::Tensor& x, const Routing& routing,
                                          PassState& /*pass*/) {
  auto context = std::make_unique<Context>();
  context->passes = passes(routing);
  PassSum sum(x.scalar_type());
  for (const TokenGroups& groups : context->passes) {
    AdapterForward pass = adapter_forward(x, groups, layers_[layer].values, products_.get());
    sum.add(pass.y);
    context->hidden.push_back(std::move(pass.hidden));
  }
  return {sum.take(), std::move(context)};
}

HyperExpert::Gradient FreeAdapters::backward(int layer, const at::Tensor& dy, const at::Tensor& x,
                                             const Routing& /*routing*/, HyperContext& context) {
  const auto& saved = static_cast<const Context&>(context);
  PassSum sum(x.scalar_type());
  Layer& of_layer = layers_[layer];
  for (std::size_t pass = 0; pass < saved.passes.size(); ++pass) {
    sum.add(adapter_backward(dy, x, saved.passes[pass], of_layer.values, saved.hidden[pass],
                             of_layer.gradients, next_sum_of(of_layer.parameters),
                             products_.get()));
  }
  return {sum.take(), {}};
}

}  // namespace hetmoe
