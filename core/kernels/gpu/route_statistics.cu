#include <kernel_language.h>

#include "core/kernels/gpu/packs.h"
#include "core/kernels/gpu/partial_sums.h"
#include "core/kernels/gpu/reductions.h"
#include "core/kernels/gpu/router.h"
#include "core/kernels/gpu/router_arithmetic.h"

namespace hetmoe::gpu {
namespace {

constexpr std::int64_t kTokensPerLine = 64;  // of partial sums
constexpr unsigned kThreads = 128;

/// Sums of selections and of P over the tokens of a line, for the thread's experts; gives the
/// thread's part of the entropy.
__device__ double add_experts(const RoutedTokens& routed, std::int64_t begin, std::int64_t end,
                              double* line) {
  const std::int64_t words = words_of(routed.experts);
  double entropy = 0;
  for (std::int64_t e = threadIdx.x; e < routed.experts; e += kThreads) {
    int selected = 0;
    double probability = 0;
    for (std::int64_t token = begin; token < end; ++token) {
      const float p = routed.probability[token * routed.experts + e];
      probability += p;
      entropy += entropy_term(p);
      selected += static_cast<int>(routed.mask[token * words + e / 32] >> (e % 32) & 1);
    }
    line[e] = selected;
    line[routed.experts + e] = probability;
  }
  return entropy;
}

__global__ void __launch_bounds__(kThreads)
    statistics_kernel(RoutedTokens routed, const double* relative_width, double* lines) {
  const std::int64_t begin = blockIdx.x * kTokensPerLine;
  const std::int64_t end =
      begin + kTokensPerLine < routed.tokens ? begin + kTokensPerLine : routed.tokens;
  double* line = lines + blockIdx.x * (2 * routed.experts + 3);
  const double entropy = block_sum(add_experts(routed, begin, end, line));

  double released = 0;
  for (std::int64_t s = routed.offset[begin] + threadIdx.x; s < routed.offset[end]; s += kThreads) {
    released += routed.gate[s] * relative_width[routed.expert[s]];
  }
  double non_finite = 0;
  for (std::int64_t token = begin + threadIdx.x; token < end; token += kThreads) {
    non_finite += routed.non_finite[token];
  }
  __syncthreads();
  released = block_sum(released);
  __syncthreads();
  non_finite = block_sum(non_finite);
  if (threadIdx.x != 0) return;
  line[2 * routed.experts] = entropy;
  line[2 * routed.experts + 1] = released;
  line[2 * routed.experts + 2] = non_finite;
}

std::int64_t lines_of(std::int64_t tokens) {
  return (tokens + kTokensPerLine - 1) / kTokensPerLine;
}

}  // namespace

std::int64_t route_statistics_scratch_doubles(std::int64_t tokens, std::int64_t experts) {
  return lines_of(tokens) * (2 * experts + 3);
}

void route_statistics(const RoutedTokens& routed, const double* relative_width, double* statistics,
                      double* scratch, Stream stream) {
  if (routed.tokens == 0) return;
  const std::int64_t lines = lines_of(routed.tokens);
  launch("route_statistics", {.blocks_x = static_cast<unsigned>(lines), .threads = kThreads},
         stream, &statistics_kernel, routed, relative_width, scratch);
  add_lines("route_statistics_sum", scratch, lines, 2 * routed.experts + 3, /*adds=*/true,
            statistics, stream);
}

}  // namespace hetmoe::gpu
