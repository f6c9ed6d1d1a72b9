#include "tests/support/hyper_reference.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

namespace hetmoe {
namespace {

/// [T, E]: 1 where the token selected the expert.
at::Tensor selected_experts(const Routing& routing, std::int64_t experts) {
  at::Tensor selected = at::zeros({routing.tokens(), experts}, at::TensorOptions(at::kDouble));
  auto at = selected.accessor<double, 2>();
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
      at[t][routing.expert[s]] = 1;
    }
  }
  return selected;
}

}  // namespace

at::Tensor per_token_hyper_expert(const ModelConfig& config,
                                  const std::function<at::Tensor(const std::string&)>& parameter,
                                  int layer, const at::Tensor& x, const Routing& routing) {
  const HyperConfig& hyper = config.hyper;
  const std::int64_t tokens = x.size(0);
  const auto linear = [&](const std::string& name, const at::Tensor& input) {
    return at::linear(input, parameter(name + ".weight"), parameter(name + ".bias"));
  };
  const std::string prefix = "layers." + std::to_string(layer) + ".hyper.";

  const at::Tensor selected = selected_experts(routing, config.experts.count);
  at::Tensor members = hyper.conditioning == Conditioning::kSelected ? selected : 1 - selected;
  at::Tensor embedding = parameter(prefix + "embedding");
  if (hyper.aggregate == Aggregate::kCentred) embedding = embedding - embedding.mean(0);
  if (hyper.aggregate == Aggregate::kMean) members = members / members.sum(1, true).clamp_min(1);
  const at::Tensor s = members.to(x.scalar_type()).mm(embedding);

  const at::Tensor z = linear(prefix + "project", linear(prefix + "process", s).relu());
  const at::Tensor m = parameter("hypernetwork.layer_embedding")[layer];
  const at::Tensor a =
      linear("hypernetwork.hidden", at::cat({z, m.expand({tokens, m.size(0)})}, 1)).relu();

  const std::int64_t features = config.hidden_size;
  const std::int64_t rank = hyper.rank;
  const at::Tensor down = linear("hypernetwork.down", a).view({tokens, features, rank});
  const at::Tensor up = linear("hypernetwork.up", a).view({tokens, rank, features});
  const at::Tensor units =
      (at::bmm(x.unsqueeze(1), down).squeeze(1) + linear("hypernetwork.down_bias", a)).relu();
  const at::Tensor y =
      at::bmm(units.unsqueeze(1), up).squeeze(1) + linear("hypernetwork.up_bias", a);
  if (!hyper.gated) return y;
  return y * (routing.probabilities * selected.to(routing.probabilities.scalar_type()))
                 .sum(1, true)
                 .to(y.scalar_type());
}

}  // namespace hetmoe
