#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "core/kernels/attention.h"
#include "core/kernels/packed_matrix.h"
#include "core/model/functions.h"
#include "core/model/gradient_listener.h"
#include "core/model/hyper_expert.h"
#include "core/model/microbatch.h"
#include "core/model/model_config.h"
#include "core/model/moe_layer.h"
#include "core/model/parameter_gate.h"
#include "core/model/parameter_store.h"
#include "core/model/recompute.h"
#include "core/model/recomputed_block.h"
#include "core/tensor/deferred.h"

namespace hetmoe {

class KeyValueCache;

/// What a decoder is made of; all of it must outlive the decoder.
struct DecoderParts {
  ParameterStore& parameters;
  Mixture& mixture;
  ParameterGate& gate;
  GradientListener& listener;
  Recompute recompute = Recompute::kNone;  ///< blocks; the experts' products are the mixture's
};

/// LLaMA-style decoder: RMSNorm, RoPE, causal attention, and a mixture of unequal SwiGLU experts as
/// every block's feed-forward. No biases.
class Decoder {
 public:
  Decoder(const ModelConfig& config, DecoderParts parts);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// Training: gives the sum of the token cross entropies (nats, this rank) and leaves all that
  /// backward needs. The gradient is that of
  ///   (cross entropy / global tokens + weighted auxiliary losses) / microbatches.
  /// Fills pass.statistics with this rank's sums, on a GPU pass.gpu.statistics; these must be
  /// global before backward. Collective: all ranks, zero sequences as well.
  Deferred forward(PassState& pass);

  /// Adds its part to the store's gradients of all parameters, whose step the caller has begun.
  /// pass.statistics must be global by now. In the last microbatch of a step finishes each block's
  /// gradients in the store and tells the listener that they are complete.
  /// Collective, once after each forward, with the same pass.
  void backward(PassState& pass);

  /// Sum of the token cross entropies without gradients, of the rows from `first_row` on (a row for
  /// each token of the microbatch). Collective like forward.
  double evaluate(PassState& pass, std::int64_t first_row = 0);

  /// What the model expects after the last token of each sequence: logits [sequences, vocabulary],
  /// fp32 (fp64 for fp64), without gradients. Targets are not looked at. With a cache, on the host,
  /// the tokens are the next ones of its one sequence, and it then holds them as well: the work is
  /// that of these tokens, and of attention to all. Collective like forward.
  at::Tensor next_token_logits(PassState& pass, KeyValueCache* cache = nullptr);

  /// Whoever writes parameters otherwise than by the update after a step's last backward pass (a
  /// load, a migration) calls this: what was generated from the old ones is dropped.
  void parameters_changed();

 private:
  struct Block {
    int layer;
    Parameter attention_norm, query_key_value, query_norm, key_norm, attention_output, experts_norm;
    std::unique_ptr<MoeLayer> experts;
  };

  Block make_block(int layer, const DecoderParts& parts) const;
  at::Tensor hidden_states(PassState& pass, bool training, KeyValueCache* cache = nullptr);
  at::Tensor compute_block(const Block& block, const at::Tensor& h, PassState& pass, bool training,
                           KeyValueCache* cache);
  BeforeExperts before_experts(const Block& block, const at::Tensor& h, const PassState& pass,
                               KeyValueCache* cache) const;
  at::Tensor enter_block(int block, const at::Tensor& h, PassState& pass, bool training);
  void wait_for_parameters(int block, PassState& pass);
  void complete_gradients(int block, PassState& pass);
  void begin_on_gpu(PassState& pass);
  void fetch_statistics(PassState& pass);
  AttentionShape attention_shape(const PassState& pass) const;
  at::Tensor attend(const at::Tensor& h, const Block& block, const PassState& pass,
                    KeyValueCache* cache) const;
  at::Tensor attend_to_cache(const at::Tensor& qkv, int layer, const PassState& pass,
                             KeyValueCache& cache) const;
  at::Tensor normalise_heads(const at::Tensor& qkv, const Block& block) const;

  ModelConfig config_;
  ParameterStore& parameters_;
  ParameterGate& gate_;
  GradientListener& listener_;
  bool recomputes_blocks_;
  std::unique_ptr<HyperExpert> hyper_;  ///< none: the mixture alone
  Parameter embedding_, final_norm_, head_;
  std::vector<Block> blocks_;
  ReusedBuffer head_memory_;
  // Between forward and backward: the leaf, the last hidden states and their gradient.
  at::Tensor leaf_, top_, dtop_;
  at::Tensor rotary_table_;  ///< on a GPU, of the last length
};

}  // namespace hetmoe
