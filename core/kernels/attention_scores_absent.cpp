#include "core/base/check.h"
#include "core/kernels/attention_scores.h"

// Processors other than x86-64.

namespace hetmoe {

void avx512_softmax_tile(const float*, const ScoreTile&, RunningSoftmax&, std::uint32_t*) {
  HETMOE_CHECK(false, "no AVX-512 in this build");
}

void avx512_score_gradient_tile(const float*, const float*, const ScoreTile&, const float*,
                                const float*, const ScoreGradients&) {
  HETMOE_CHECK(false, "no AVX-512 in this build");
}

}  // namespace hetmoe
