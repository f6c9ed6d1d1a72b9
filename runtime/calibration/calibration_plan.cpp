#include "runtime/calibration/calibration_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/model/parameter_specs.h"
#include "runtime/calibration/model_shape.h"

namespace hetmoe {
namespace {

constexpr double kExpertShare = 0.6;
constexpr double kDenseShare = 0.05;  // each of dense products, attention and output head
constexpr double kLayerShare = 0.1;
constexpr double kExpectedShareOfPeak = 0.6;
constexpr std::int64_t kMostOptimizerElements = 16 << 20;

std::vector<std::int64_t> ascending(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

/// A granule, the narrowest and the widest expert, and one width between: cuts go down to a
/// granule.
std::vector<std::int64_t> widths_of(const RunConfig& config) {
  const auto widths = expert_widths(config.model.experts);
  const auto [narrow, wide] = std::minmax_element(widths.begin(), widths.end());
  const auto between = static_cast<std::int64_t>(
      std::llround(std::sqrt(static_cast<double>(*narrow) * static_cast<double>(*wide))));
  const auto granule = std::min<std::int64_t>(config.placement.granularity, *narrow);
  return ascending({granule, *narrow, between, *wide});
}

double all_expert_flops(const CalibrationPlan& plan) {
  const auto sum = [](const std::vector<std::int64_t>& values) {
    return static_cast<double>(std::reduce(values.begin(), values.end()));
  };
  // Three products, forward and twice backward.
  return 18.0 * sum(plan.hidden_sizes) * sum(plan.rows) * sum(plan.widths);
}

/// FLOPs per token of one run of all points that take plan.tokens: projections and attention by
/// themselves (in several layers), in small decoders and beside those, and the output head, whose
/// forward pass runs once more than its backward pass. Backward is twice forward.
double flops_per_token(const CalibrationPlan& plan) {
  constexpr double kRunsOfProducts = 3 * (kLayersOfDenseRun + kLayersOfSmallDecoder + 1);
  constexpr double kRunsOfHead = 1 + 3;
  double flops = 0;
  for (const std::int64_t hidden_size : plan.hidden_sizes) {
    const AttentionShape shape = attention_shape(plan, hidden_size, plan.lengths.back());
    const std::int64_t products = 2 * hidden_size * (shape.row_width() + shape.output_width());
    const std::int64_t scores = 2 * shape.length * shape.output_width();  // causal half
    flops += kRunsOfProducts * static_cast<double>(products + scores) +
             kRunsOfHead * static_cast<double>(2 * hidden_size * plan.model.vocab_size);
  }
  return flops;
}

/// Whole sequences where one fits, else a part of one.
std::int64_t tokens_that_fit(const CalibrationPlan& plan, double flops) {
  const auto most = static_cast<std::int64_t>(std::min(flops / flops_per_token(plan), 1e12));
  const std::int64_t length = plan.lengths.front();
  const std::int64_t fitting = most < length ? most : most / length * length;
  return std::min(plan.tokens, std::max(plan.few_tokens, fitting));
}

}  // namespace

CalibrationPlan standard_calibration_plan(double seconds) {
  CalibrationPlan plan;
  plan.hidden_sizes = {256, 512, 1024};
  plan.rows = {1, 16, 64, 256, 1024, 4096};
  plan.widths = {32, 128, 512, 2048};
  plan.lengths = {128, 256, 512, 1024, 2048};
  plan.model.head_dim = 64;
  plan.optimizer_elements = kMostOptimizerElements;
  plan.copy_bytes = 256 << 20;
  plan.seconds = seconds;
  return plan;
}

CalibrationPlan calibration_plan_for(const RunConfig& config, int ranks, double seconds) {
  CalibrationPlan plan = standard_calibration_plan(seconds);
  plan.model = config.model;
  plan.model.head_dim = head_dim(config.model);
  plan.hidden_sizes = {config.model.hidden_size};
  plan.widths = widths_of(config);
  const TrainConfig& train = config.train;
  plan.lengths = {train.sequence_length};
  const std::int64_t sequences = train.global_batch / train.microbatches;
  const std::int64_t sequences_here = std::max<std::int64_t>(1, (sequences + ranks - 1) / ranks);
  plan.tokens = std::max(plan.few_tokens, sequences_here * train.sequence_length);
  // The hottest expert is met by every token of the microbatch, from all ranks.
  const std::int64_t most = std::max<std::int64_t>(2, sequences * train.sequence_length);
  std::erase_if(plan.rows, [&](std::int64_t rows) { return rows >= most; });
  plan.rows.push_back(most);
  const std::int64_t owned = total_parameters(config.model) / ranks;
  plan.optimizer_elements = std::clamp<std::int64_t>(owned, 1, kMostOptimizerElements);
  return plan;
}

void fit_into_time(CalibrationPlan& plan, double flops_per_second) {
  const double flops =
      plan.seconds * kExpectedShareOfPeak * flops_per_second / (2.0 * kCalibrationRounds);
  while (plan.rows.size() > 2 && all_expert_flops(plan) > kExpertShare * flops) {
    plan.rows.pop_back();
  }
  plan.tokens = tokens_that_fit(plan, (3 * kDenseShare + kLayerShare) * flops);
}

CalibrationSeconds divide_seconds(const CalibrationPlan& plan) {
  const auto part = [&](double share, std::size_t points) {
    return share * plan.seconds / kCalibrationRounds / static_cast<double>(points);
  };
  const std::size_t hidden_sizes = plan.hidden_sizes.size();
  return {.peak = part(0.02, 1),
          .expert_point = part(kExpertShare, hidden_sizes * plan.rows.size() * plan.widths.size()),
          .dense_point = part(kDenseShare, hidden_sizes),
          .attention_point = part(kDenseShare, plan.lengths.size()),
          .head_point = part(kDenseShare, hidden_sizes),
          .memory = part(0.02, 1),
          .layer_point = part(kLayerShare, 4),
          .link_point = part(0.03, 4)};
}

}  // namespace hetmoe
