#include "parallel/simulation/dense_time.h"

#include "core/model/hyper_parameters.h"
#include "parallel/placement/cluster_speed.h"

namespace hetmoe {
namespace {

/// Forward, as often as it is done, and backward of products with so many forward FLOPs.
double product_seconds(const RateCurve& curve, std::int64_t size, double forward_flops,
                       int forwards = 1) {
  return forwards * forward_flops / forward_rate(curve, size) +
         2 * forward_flops / backward_rate(curve, size);
}

/// Per token: a row of the embedding read and written, its fp32 gradient read and added to.
double embedding_bytes(const SimulatedWorld& world) {
  return static_cast<double>(world.model.hidden_size) * (3 * world.value_bytes() + 8);
}

/// HyperMoE's small expert on own tokens, all layers, and this microbatch's part of generating it.
double small_expert_seconds(const Cluster& cluster, const SimulatedWorld& world, double tokens) {
  const ModelConfig& model = world.model;
  if (!model.hyper.enabled) return 0;
  const double applied = tokens * model.num_layers * hyper_forward_flops_per_token(model);
  const double sets = most_generated_sets(model, world.value_bytes(), tokens);
  const double generated = 2.0 * model.num_layers * sets * model.hyper.hidden *
                           static_cast<double>(generated_values(model)) /
                           static_cast<double>(world.microbatches);
  return product_seconds(cluster.dense_products, model.hyper.rank, applied) +
         product_seconds(cluster.dense_products, model.hyper.hidden, generated);
}

}  // namespace

double dense_seconds(const Cluster& cluster, const SimulatedWorld& world, double tokens) {
  const ModelConfig& model = world.model;
  const std::int64_t hidden_size = model.hidden_size;
  const double hidden = static_cast<double>(hidden_size);
  const double query_width = static_cast<double>(model.num_heads * head_dim(model));
  const double key_width = static_cast<double>(model.num_kv_heads * head_dim(model));
  const double products = 2 * hidden * (2 * query_width + 2 * key_width);
  const double seen = (static_cast<double>(world.sequence_length) + 1) / 2;  // causal, on average
  const double scores = 4 * seen * query_width;
  const int forwards = world.recompute == Recompute::kBlock ? 2 : 1;
  const double layer =
      cluster.layer_seconds + tokens * hidden * cluster.layer_seconds_per_value +
      product_seconds(cluster.dense_products, hidden_size, tokens * products, forwards) +
      product_seconds(cluster.attention, world.sequence_length, tokens * scores, forwards);
  const double head = product_seconds(cluster.output_head, hidden_size,
                                      tokens * 2 * hidden * static_cast<double>(model.vocab_size));
  const double embedding = tokens * embedding_bytes(world) / cluster.memory_bytes_per_second;
  return model.num_layers * layer + head + embedding + small_expert_seconds(cluster, world, tokens);
}

}  // namespace hetmoe
