#include "runtime/report/simulation_text.h"

#include <functional>

#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

constexpr std::size_t kLabelWidth = 26;
constexpr std::size_t kColumnWidth = 18;

using Cell = std::function<std::string(const SimulatedPlacement&)>;

std::string row(const SimulationReport& report, const std::string& label, const Cell& cell) {
  std::string line = left_aligned(label, kLabelWidth);
  for (const SimulatedPlacement& placement : report.placements)
    line += right_aligned(cell(placement), kColumnWidth);
  return line + "\n";
}

std::string ranks_text(int ranks) {
  return std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks");
}

std::string heading(const SimulationReport& report) {
  const SimulatedWorld& world = report.world;
  const Simulation& any = report.balanced().simulation;
  std::string text = report.config_name + ", " + report.workload + ", on " +
                     ranks_text(world.ranks()) + " of " + report.cluster.name + "\n";
  text += count_text(any.tokens) + " tokens a step in " + std::to_string(world.microbatches) +
          (world.microbatches == 1 ? " microbatch, " : " microbatches, ") +
          (world.is_bf16 ? "bf16, " : "fp32, ") + std::to_string(world.groups()) + " expert group" +
          (world.groups() == 1 ? "" : "s") + " of " + std::to_string(world.expert_group_size) +
          ", " + ranks_text(world.ranks_per_node) + " per node\n\n";
  return text;
}

std::string part_rows(const SimulationReport& report) {
  const auto part = [&](const char* label, double StepParts::*member) {
    return row(report, label, [member](const SimulatedPlacement& placement) {
      return short_duration_text(placement.simulation.parts.*member);
    });
  };
  return row(report, "step",
             [](const auto& placement) {
               return short_duration_text(placement.simulation.step_seconds());
             }) +
         part("  attention and dense", &StepParts::dense) + part("  experts", &StepParts::expert) +
         part("  dispatch", &StepParts::dispatch) + part("  combine", &StepParts::combine) +
         part("  gradients", &StepParts::gradients) + part("  optimizer", &StepParts::optimizer) +
         part("  parameters", &StepParts::parameters) +
         row(report, "waiting, mean rank", [](const SimulatedPlacement& placement) {
           double sum = 0;
           for (const SimulatedRank& rank : placement.simulation.ranks) sum += rank.waiting;
           return short_duration_text(sum / static_cast<double>(placement.simulation.ranks.size()));
         });
}

std::string memory_rows(const SimulationReport& report) {
  const auto bytes = [](double value) { return bytes_text(static_cast<std::int64_t>(value)); };
  std::string text = row(report, "memory, largest rank", [&](const auto& placement) {
    return bytes(largest_memory_bytes(placement.simulation));
  });
  text += row(report, "memory, mean rank", [&](const auto& placement) {
    return bytes(mean_memory_bytes(placement.simulation));
  });
  if (report.cluster.memory_bytes == 0) return text;
  return text +
         row(report, "ranks over " + bytes(report.cluster.memory_bytes),
             [&](const SimulatedPlacement& placement) {
               return std::to_string(ranks_over_memory(placement.simulation, report.cluster));
             });
}

}  // namespace

std::string simulation_text(const SimulationReport& report) {
  std::string text = heading(report);
  text += row(report, "", [](const SimulatedPlacement& placement) { return placement.name; });
  text += part_rows(report);
  text += row(report, "tokens/s", [](const SimulatedPlacement& placement) {
    return count_text(placement.simulation.tokens_per_second());
  });
  text += row(report, "MFU", [&](const SimulatedPlacement& placement) {
    return percent_text(placement.simulation.model_flops_utilization(report.cluster));
  });
  text += row(report, "expert FLOPs max/mean", [](const SimulatedPlacement& placement) {
    return fixed_text(placement.flops_max_over_mean, 3);
  });
  return text + memory_rows(report);
}

std::string simulated_cases_text(const std::string& strategy,
                                 std::span<const SimulatedCase> cases) {
  const auto line = [](const std::string& workload, const std::string& skew, auto... cells) {
    return left_aligned(workload, 10) + right_aligned(skew, 10) + (right_aligned(cells, 14) + ...) +
           "\n";
  };
  std::string text = line("workload", "widths", std::string("contiguous"), strategy,
                          std::string("even"), std::string("W0 routing"), std::string("kept"));
  for (const SimulatedCase& one : cases)
    text +=
        line(one.workload, fixed_text(one.width_ratio, 2),
             short_duration_text(one.contiguous_seconds), short_duration_text(one.planned_seconds),
             short_duration_text(one.even_seconds), short_duration_text(one.uniform_seconds),
             fixed_text(one.uniform_seconds / one.planned_seconds, 3));
  return text;
}

}  // namespace hetmoe
