#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "core/model/router_statistics.h"
#include "core/model/workload.h"
#include "core/tensor/phase_clock.h"

namespace hetmoe {

/// One rank's part of a global microbatch. sequences may be zero. The spans' memory must outlive
/// forward and backward.
struct Microbatch {
  std::int64_t sequences = 0;
  std::int64_t length = 0;
  std::span<const std::int32_t> inputs;          ///< [sequences * length]
  std::span<const std::int32_t> targets;         ///< [sequences * length]
  std::span<const std::int32_t> document_begin;  ///< like inputs, or empty: no document limits
  std::int64_t global_tokens = 0;                ///< over all ranks
  std::int64_t microbatches = 1;                 ///< in the step; gradients are averaged over them
  std::int64_t index = 0;                        ///< among the microbatches of the step
  std::int64_t step = 0;                         ///< from 1; 0: evaluation
  std::int64_t first_token = 0;                  ///< its index in the step's global batch

  std::int64_t tokens() const { return sequences * length; }
  bool is_last() const { return index + 1 == microbatches; }
};

/// What a pass has on the GPU besides; undefined on a CPU. The decoder makes it.
struct GpuPass {
  at::Tensor statistics;      ///< [layers, values of a layer] as RouterStatistics, fp64
  at::Tensor rotary_table;    ///< AttentionShape::rotary_table
  at::Tensor attention_mask;  ///< [sequences, 1, length, length]: 0 or -inf; none: causal
};

/// What one microbatch's passes share besides parameters.
struct PassState {
  Microbatch microbatch;
  RouterStatistics* statistics = nullptr;  ///< local in forward, global from then on
  PhaseClock* phases = nullptr;            ///< told what is done; none: nobody asks
  /// [layers] hidden units that this rank's experts computed, times their tokens; forward adds.
  /// Empty: nobody asks.
  std::span<double> token_units;
  const Workload* forced = nullptr;  ///< chooses the experts; none: the router does
  GpuPass gpu;
};

}  // namespace hetmoe
