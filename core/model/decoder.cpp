#include "core/model/decoder.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <string>

#include "core/base/check.h"
#include "core/kernels/cached_attention.h"
#include "core/kernels/cross_entropy.h"
#include "core/kernels/linear.h"
#include "core/kernels/on_gpu/dense.h"
#include "core/model/backward_signal.h"
#include "core/model/gpu_attention.h"
#include "core/model/hyper_parameters.h"
#include "core/model/key_value_cache.h"
#include "core/model/parameter_specs.h"
#include "core/tensor/device.h"

namespace hetmoe {

Decoder::Decoder(const ModelConfig& config, DecoderParts parts)
    : config_(config),
      parameters_(parts.parameters),
      gate_(parts.gate),
      listener_(parts.listener),
      recomputes_blocks_(parts.recompute == Recompute::kBlock),
      hyper_(make_hyper_expert(
          config, parts.parameters,
          [this](PassState& pass) { wait_for_parameters(hypernetwork_block(config_), pass); })),
      embedding_(parts.parameters.dense("embedding")),
      final_norm_(parts.parameters.dense("final_norm")),
      head_(parts.parameters.dense("head")) {
  for (int layer = 0; layer < config.num_layers; ++layer) {
    blocks_.push_back(make_block(layer, parts));
  }
}

Decoder::Block Decoder::make_block(int layer, const DecoderParts& parts) const {
  const std::string prefix = "layers." + std::to_string(layer) + ".";
  const ParameterStore& store = parts.parameters;
  Block block;
  block.layer = layer;
  block.attention_norm = store.dense(prefix + "attention_norm");
  block.query_key_value = store.dense_rows(prefix + "attention.query", prefix + "attention.value");
  if (config_.qk_norm) {
    block.query_norm = store.dense(prefix + "attention.query_norm");
    block.key_norm = store.dense(prefix + "attention.key_norm");
  }
  block.attention_output = store.dense(prefix + "attention.output");
  block.experts_norm = store.dense(prefix + "experts_norm");
  block.experts = parts.mixture.make_layer(config_, layer, {parts.parameters, hyper_.get()});
  return block;
}

at::Tensor Decoder::hidden_states(PassState& pass, bool training, KeyValueCache* cache) {
  if (!embedding_.value.is_cpu()) begin_on_gpu(pass);
  wait_for_parameters(kEmbeddingBlock, pass);
  leaf_ = embed(embedding_, pass, training);
  at::Tensor h = leaf_;
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    h = enter_block(static_cast<int>(layer), h, pass, training);
    h = compute_block(blocks_[layer], h, pass, training, cache);
  }
  h = enter_block(head_block(config_), h, pass, training);
  return rms_norm(h, final_norm_, config_.norm_epsilon);
}

at::Tensor Decoder::compute_block(const Block& block, const at::Tensor& h, PassState& pass,
                                  bool training, KeyValueCache* cache) {
  if (training && recomputes_blocks_) {
    return recomputed_block(
        h,
        [this, &block, &pass](const at::Tensor& input) {
          return before_experts(block, input, pass, nullptr);
        },
        *block.experts, pass);
  }
  const BeforeExperts rows = before_experts(block, h, pass, cache);
  return rows.h.add(block.experts->forward(rows.x, pass));
}

BeforeExperts Decoder::before_experts(const Block& block, const at::Tensor& h,
                                      const PassState& pass, KeyValueCache* cache) const {
  const at::Tensor attended = h.add(attend(h, block, pass, cache));
  return {attended, rms_norm(attended, block.experts_norm, config_.norm_epsilon)};
}

/// All that a block computes comes from the result, so when its gradient is whole, those of the
/// block's parameters are.
at::Tensor Decoder::enter_block(int block, const at::Tensor& h, PassState& pass, bool training) {
  wait_for_parameters(block, pass);
  if (!training || !pass.microbatch.is_last()) return h;
  return signal_in_backward(h, [this, block, &pass] { complete_gradients(block, pass); });
}

void Decoder::wait_for_parameters(int block, PassState& pass) {
  const PhaseScope phase(pass.phases, Phase::kParameters);
  gate_.wait(block);
}

void Decoder::complete_gradients(int block, PassState& pass) {
  const PhaseScope phase(pass.phases, Phase::kGradients);
  parameters_.finish_gradients(block);
  listener_.complete(block);
}

AttentionShape Decoder::attention_shape(const PassState& pass) const {
  return {.sequences = pass.microbatch.sequences,
          .length = pass.microbatch.length,
          .num_heads = config_.num_heads,
          .num_kv_heads = config_.num_kv_heads,
          .head_dim = head_dim(config_),
          .rope_theta = config_.rope_theta,
          .rotary_table = pass.gpu.rotary_table};
}

void Decoder::begin_on_gpu(PassState& pass) {
  const std::int64_t angles = pass.microbatch.length * (head_dim(config_) / 2);
  if (!rotary_table_.defined() || rotary_table_.numel() != 2 * angles) {
    rotary_table_ = on_gpu::make_rotary_table(attention_shape(pass));
  }
  pass.gpu = {
      .statistics = at::zeros({config_.num_layers, pass.statistics->values_of_layer()},
                              at::TensorOptions(at::kDouble).device(embedding_.value.device())),
      .rotary_table = rotary_table_,
      .attention_mask = make_attention_mask(pass.microbatch, embedding_.value.scalar_type())};
}

/// The host waits: what the layers counted goes to where ranks add it up.
void Decoder::fetch_statistics(PassState& pass) {
  if (embedding_.value.is_cpu()) return;
  const at::Tensor counted = pass.gpu.statistics.to(at::kCPU);
  const std::span<double> values = pass.statistics->values();
  std::copy_n(counted.const_data_ptr<double>(), values.size(), values.begin());
}

at::Tensor Decoder::attend(const at::Tensor& h, const Block& block, const PassState& pass,
                           KeyValueCache* cache) const {
  const AttentionShape shape = attention_shape(pass);
  at::Tensor qkv =
      linear(rms_norm(h, block.attention_norm, config_.norm_epsilon), block.query_key_value);
  if (config_.qk_norm) qkv = normalise_heads(qkv, block);
  const at::Tensor mixed = cache != nullptr ? attend_to_cache(qkv, block.layer, pass, *cache)
                                            : attention(qkv, shape, pass);
  return linear(mixed, block.attention_output);
}

at::Tensor Decoder::attend_to_cache(const at::Tensor& qkv, int layer, const PassState& pass,
                                    KeyValueCache& cache) const {
  HETMOE_CHECK(pass.microbatch.sequences == 1 && pass.microbatch.document_begin.empty(),
               "a cache is for one sequence, not ", pass.microbatch.sequences);
  const RotatedHeads heads = split_and_rotate(qkv, attention_shape(pass), cache.length());
  const KeyValueCache::Heads all = cache.append(layer, heads.key, heads.value);
  return cached_attention(heads.query, all.key, all.value);
}

at::Tensor Decoder::normalise_heads(const at::Tensor& qkv, const Block& block) const {
  const std::int64_t rows = qkv.size(0);
  const std::int64_t width = head_dim(config_);
  const std::int64_t query = config_.num_heads * width;
  const std::int64_t key = config_.num_kv_heads * width;
  const auto normalised = [&](std::int64_t begin, std::int64_t columns, const Parameter& weight) {
    const at::Tensor heads =
        qkv.narrow(1, begin, columns).reshape({rows * (columns / width), width}).contiguous();
    return rms_norm(heads, weight, config_.norm_epsilon).view({rows, columns});
  };
  return at::cat({normalised(0, query, block.query_norm), normalised(query, key, block.key_norm),
                  qkv.narrow(1, query + key, key)},
                 1);
}

Deferred Decoder::forward(PassState& pass) {
  HETMOE_CHECK(pass.microbatch.global_tokens > 0 && pass.microbatch.microbatches > 0,
               "global tokens ", pass.microbatch.global_tokens);
  const at::AutoGradMode with_gradients(true);
  top_ = hidden_states(pass, /*training=*/true);
  const double scale = 1.0 / (static_cast<double>(pass.microbatch.global_tokens) *
                              static_cast<double>(pass.microbatch.microbatches));
  CrossEntropyResult loss =
      cross_entropy_with_gradient(top_.detach(), head_.value, pass.microbatch.targets, scale,
                                  head_.gradient, head_.next_sum(), head_memory_);
  dtop_ = std::move(loss.dx);
  return loss.loss_sum;
}

void Decoder::backward(PassState& pass) {
  torch::autograd::backward({top_}, {dtop_});
  if (hyper_ && pass.microbatch.is_last()) hyper_->finish_gradients();
  if (has_hypernetwork(config_) && pass.microbatch.is_last()) {
    complete_gradients(hypernetwork_block(config_), pass);
  }
  embed_backward(leaf_.grad(), embedding_, pass);
  if (pass.microbatch.is_last()) complete_gradients(kEmbeddingBlock, pass);
  leaf_.reset();
  top_.reset();
  dtop_.reset();
}

void Decoder::parameters_changed() {
  if (hyper_) hyper_->parameters_changed();
}

double Decoder::evaluate(PassState& pass, std::int64_t first_row) {
  const at::AutoGradMode without_gradients(false);
  const at::Tensor top = hidden_states(pass, /*training=*/false);
  leaf_.reset();
  const double loss =
      cross_entropy(top.narrow(0, first_row, top.size(0) - first_row), head_.value,
                    pass.microbatch.targets.subspan(static_cast<std::size_t>(first_row)));
  fetch_statistics(pass);
  return loss;
}

at::Tensor Decoder::next_token_logits(PassState& pass, KeyValueCache* cache) {
  const at::AutoGradMode without_gradients(false);
  const at::Tensor top = hidden_states(pass, /*training=*/false, cache);
  leaf_.reset();
  const Microbatch& microbatch = pass.microbatch;
  if (cache != nullptr) cache->advance(microbatch.length);
  const auto wide = top.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor last = top.view({microbatch.sequences, microbatch.length, config_.hidden_size})
                              .select(1, microbatch.length - 1)
                              .contiguous();
  return linear_forward(last, head_.value).to(wide);
}

}  // namespace hetmoe
