#include "runtime/trainer/run_summary.h"

#include <algorithm>
#include <sstream>

#include "core/model/parameter_specs.h"
#include "parallel/ownership/update_traffic.h"
#include "runtime/trainer/memory_check.h"

namespace hetmoe {
namespace {

std::string router_text(const RouterConfig& router) {
  std::ostringstream text;
  if (router.kind == RouterKind::kTopK) {
    text << "top-" << router.top_k;
  } else {
    text << "top-p " << router.top_p;
  }
  return text.str();
}

std::vector<RankPlanRow> plan_rows(const RunConfig& config, const Placement& placement,
                                   const ExpertGroups& groups) {
  std::vector<RankPlanRow> rows(static_cast<std::size_t>(groups.ranks()));
  double total = 0;
  for (const LayerPlacement& layer : placement.layers) {
    for (const PlacedSlice& slice : layer.slices) {
      const double work = slice.share * static_cast<double>(slice.width());
      for (int group = 0; group < groups.count; ++group) {
        RankPlanRow& row = rows[groups.rank_of(group, slice.rank)];
        ++row.slices;
        row.expert_parameters += kExpertMatrices * slice.width() * config.model.hidden_size;
        row.flops_ratio += work;
        total += work;
      }
    }
  }
  const std::vector<MemoryNeed> memory = memory_needs(config, placement, groups);
  for (int rank = 0; rank < groups.ranks(); ++rank) {
    rows[rank].rank = rank;
    rows[rank].flops_ratio /= total;
    rows[rank].state_bytes = memory[rank].state_bytes;
    rows[rank].activation_bytes = memory[rank].activation_bytes;
  }
  return rows;
}

void add_update_traffic(const RunSummaryParts& parts, RunSummary& summary) {
  const ModelConfig& model = parts.config.model;
  const std::vector<TensorSpec> dense = dense_tensor_specs(model);
  const bool is_bf16 = parts.config.train.precision == Precision::kBf16;
  const UpdateTraffic traffic = update_traffic({.dense = dense,
                                                .placement = parts.plan.placement,
                                                .groups = parts.groups,
                                                .hidden_size = model.hidden_size,
                                                .value_bytes = is_bf16 ? 2 : 4});
  for (int rank = 0; rank < parts.groups.ranks(); ++rank) {
    summary.gradient_bytes += traffic.gradient_bytes[rank];
    summary.parameter_bytes += traffic.parameter_bytes[rank];
    summary.busiest_update_bytes = std::max(
        summary.busiest_update_bytes, traffic.gradient_bytes[rank] + traffic.parameter_bytes[rank]);
  }
}

}  // namespace

RunSummary summarize_run(const RunSummaryParts& parts) {
  const ModelConfig& model = parts.config.model;
  const auto widths = expert_widths(model.experts);
  double mean_width = 0;
  for (std::int64_t width : widths) {
    mean_width += static_cast<double>(width) / static_cast<double>(widths.size());
  }
  RunSummary summary;
  summary.config_name = parts.config_name;
  summary.run_directory = parts.directory.path().string();
  summary.num_layers = model.num_layers;
  summary.hidden_size = model.hidden_size;
  summary.num_heads = model.num_heads;
  summary.vocab_size = model.vocab_size;
  summary.expert_widths = widths;
  summary.router = router_text(model.router);
  summary.total_parameters = total_parameters(model);
  // Top-P takes as many experts as the router needs: an unsure one takes all.
  const bool counts = model.router.kind == RouterKind::kTopK;
  summary.active_parameters =
      active_parameters(model, mean_width * (counts ? model.router.top_k : model.experts.count));
  summary.active_is_bound = !counts;
  summary.ranks = parts.groups.ranks();
  summary.expert_groups = parts.groups.count;
  summary.tokens_per_step = parts.config.train.global_batch * parts.config.train.sequence_length;
  summary.steps = parts.config.train.steps;
  summary.precision = parts.config.train.precision == Precision::kBf16 ? "bf16" : "fp32";
  summary.cores = parts.cores;
  summary.device = parts.device;
  summary.sources = parts.sources;
  add_update_traffic(parts, summary);
  summary.plan = plan_rows(parts.config, parts.plan.placement, parts.groups);
  return summary;
}

}  // namespace hetmoe
