#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/gpu/product_table.h"
#include "core/model/model_config.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// Everything is measured in so many rounds, each number is their median: what else runs on a
/// shared machine for a while spoils one round of some points and not the table.
inline constexpr int kCalibrationRounds = 3;

/// Layers of the decoders whose products are taken off (layer_measurement.h).
inline constexpr int kLayersOfSmallDecoder = 3;

/// Layers of projections, or of attention, that one run goes through.
inline constexpr int kLayersOfDenseRun = 4;

/// At which sizes a calibration measures, and for how long.
struct CalibrationPlan {
  std::vector<std::int64_t> hidden_sizes;  ///< ascending; of experts, dense products, output head
  std::vector<std::int64_t> rows;          ///< ascending; of one slice
  std::vector<std::int64_t> widths;        ///< ascending; of one slice
  std::vector<std::int64_t> lengths;       ///< ascending; sequences of attention
  /// Heads, experts, router and vocabulary; hidden size, widths and layers are set per measurement.
  ModelConfig model;
  gpu::ProductTable products;     ///< how experts are multiplied on a GPU
  std::int64_t tokens = 1024;     ///< rows of dense products, attention, head and large layers
  std::int64_t few_tokens = 128;  ///< rows of small layers
  std::int64_t optimizer_elements = 0;   ///< parameters that one update touches
  std::int64_t copy_bytes = 0;           ///< of the copy that measures memory: beyond all caches
  std::int64_t message_bytes = 1 << 20;  ///< to each peer of an all-to-all
  double seconds = 60;  ///< of all measurements together; the least number of repetitions may take
                        ///< longer
};

/// Sizes for any model: hidden sizes 256 to 1024, slices up to 4096 rows and 2048 hidden units.
CalibrationPlan standard_calibration_plan(double seconds);

/// The sizes that training this configuration on so many ranks meets.
CalibrationPlan calibration_plan_for(const RunConfig& config, int ranks, double seconds);

/// Leaves out the largest rows, but never below two, and takes fewer tokens, whole sequences where
/// one fits and never below few_tokens, until the expert products and what takes the plan's tokens,
/// with one warm-up and one repetition in each round, fit into their parts of the time at this
/// rate.
void fit_into_time(CalibrationPlan& plan, double flops_per_second);

/// Seconds that each point may repeat for in one round.
struct CalibrationSeconds {
  double peak, expert_point, dense_point, attention_point, head_point, memory, layer_point,
      link_point;
};
CalibrationSeconds divide_seconds(const CalibrationPlan& plan);

}  // namespace hetmoe
