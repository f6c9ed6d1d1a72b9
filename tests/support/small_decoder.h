#pragma once

#include <cstdint>
#include <vector>

#include "core/model/microbatch.h"
#include "core/model/model_config.h"
#include "core/model/parameter_store.h"
#include "tests/support/gradient_check.h"

// The decoder that GPUs compute beside a CPU: odd sizes, few heads of keys, experts from one unit
// on.
namespace hetmoe::test {

inline const std::vector<std::int64_t> kSmallWidths = {8, 1, 16, 3, 24};
constexpr std::int64_t kSmallLength = 7;  // of a sequence

inline ModelConfig small_decoder(const RouterConfig& router, std::int64_t head_dim = 6) {
  ModelConfig config;
  config.vocab_size = 19;
  config.hidden_size = 24;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = head_dim;
  config.rope_theta = 50;
  config.experts.count = static_cast<int>(kSmallWidths.size());
  config.experts.widths = kSmallWidths;
  config.router = router;
  return config;
}

inline RouterConfig small_top_p() {
  RouterConfig router;
  router.kind = RouterKind::kTopP;
  router.top_p = 0.6;
  router.load_balance = 0.01;
  router.entropy = 0.03;
  return router;
}

/// The third expert is cut.
inline std::vector<Slice> small_slices() {
  std::vector<Slice> slices;
  for (int layer = 0; layer < 2; ++layer) {
    slices.insert(slices.end(), {{layer, 0, 0, 8}, {layer, 1, 0, 1}, {layer, 2, 0, 8}});
    slices.insert(slices.end(), {{layer, 2, 8, 16}, {layer, 3, 0, 3}, {layer, 4, 0, 24}});
  }
  return slices;
}

/// Weights of norms are around 1, as they are in models.
inline void set_norms(ParameterStore& store) {
  for (const TensorSpec& spec : store.dense_specs()) {
    at::Tensor value = store.dense(spec.name).value;
    if (!spec.is_matrix) value.mul_(0.3).add_(1.0);
  }
}

/// The same values in every store of the same tensors and slices; `size`: about the largest of a
/// matrix.
inline void set_values(ParameterStore& store, double size) {
  const at::Tensor values = test_values("parameters", {store.elements()}, size);
  std::int64_t begin = 0;
  const auto take = [&](at::Tensor part) {
    part.copy_(values.narrow(0, begin, part.numel()));
    begin += part.numel();
  };
  take(store.dense_values());
  for (int layer = 0; begin < store.elements(); ++layer) take(store.slice_values(layer));
  set_norms(store);
}

/// Tokens of `sequences` sequences of an endless text, from sequence `begin` on.
struct SmallText {
  std::vector<std::int32_t> inputs, targets;

  SmallText(std::int64_t begin, std::int64_t sequences) {
    for (std::int64_t i = begin * kSmallLength; i < (begin + sequences) * kSmallLength; ++i) {
      inputs.push_back(static_cast<std::int32_t>(i * 5 % 19));
      targets.push_back(static_cast<std::int32_t>(i * 11 % 19));
    }
  }
};

}  // namespace hetmoe::test
