#include <nlohmann/json.hpp>

#include "runtime/report/simulation_text.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

struct NamedPart {
  const char* name;
  double StepParts::*member;
};
constexpr NamedPart kParts[] = {
    {"dense", &StepParts::dense},           {"expert", &StepParts::expert},
    {"dispatch", &StepParts::dispatch},     {"combine", &StepParts::combine},
    {"gradients", &StepParts::gradients},   {"optimizer", &StepParts::optimizer},
    {"parameters", &StepParts::parameters},
};

/// One list per quantity: short, and what a plotting tool takes.
template <typename Value>
Json list_of_ranks(const Simulation& simulation, Value value) {
  Json list = Json::array();
  for (const SimulatedRank& rank : simulation.ranks) list.push_back(value(rank));
  return list;
}

Json ranks_json(const Simulation& simulation) {
  Json seconds = Json::object();
  for (const NamedPart& part : kParts)
    seconds[part.name] = list_of_ranks(
        simulation, [&](const SimulatedRank& rank) { return rank.busy.*part.member; });
  seconds["waiting"] =
      list_of_ranks(simulation, [](const SimulatedRank& rank) { return rank.waiting; });
  const auto bytes = [&](double SimulatedMemory::*member) {
    return list_of_ranks(simulation,
                         [&](const SimulatedRank& rank) { return rank.memory.*member; });
  };
  return {{"seconds", seconds},
          {"memory_bytes",
           {{"weights", bytes(&SimulatedMemory::weights)},
            {"gradients", bytes(&SimulatedMemory::gradients)},
            {"optimizer_state", bytes(&SimulatedMemory::optimizer_state)},
            {"activations", bytes(&SimulatedMemory::activations)},
            {"received", bytes(&SimulatedMemory::received)}}}};
}

Json placement_json(const SimulatedPlacement& placement, const Cluster& cluster) {
  const Simulation& simulation = placement.simulation;
  Json parts = Json::object();
  for (const NamedPart& part : kParts) parts[part.name] = simulation.parts.*part.member;
  return {{"name", placement.name},
          {"step_seconds", simulation.step_seconds()},
          {"parts_seconds", parts},
          {"even_seconds", simulation.even_seconds},
          {"tokens_per_second", simulation.tokens_per_second()},
          {"model_flops", simulation.model_flops},
          {"model_flops_utilization", simulation.model_flops_utilization(cluster)},
          {"flops_max_over_mean", placement.flops_max_over_mean},
          {"memory_bytes",
           {{"largest", largest_memory_bytes(simulation)},
            {"mean", mean_memory_bytes(simulation)},
            {"ranks_over", ranks_over_memory(simulation, cluster)}}},
          {"ranks", ranks_json(simulation)}};
}

}  // namespace

std::string simulation_json(const SimulationReport& report) {
  const SimulatedWorld& world = report.world;
  Json placements = Json::array();
  for (const SimulatedPlacement& placement : report.placements)
    placements.push_back(placement_json(placement, report.cluster));
  const Json document = {{"config", report.config_name},
                         {"workload", report.workload},
                         {"seed", report.seed},
                         {"cluster", report.cluster.name},
                         {"cluster_memory_bytes", report.cluster.memory_bytes},
                         {"precision", world.is_bf16 ? "bf16" : "fp32"},
                         {"ranks", world.ranks()},
                         {"expert_group_size", world.expert_group_size},
                         {"ranks_per_node", world.ranks_per_node},
                         {"microbatches", world.microbatches},
                         {"tokens_per_step", report.balanced().simulation.tokens},
                         {"placements", placements}};
  return document.dump() + "\n";
}

std::string simulated_cases_json(const std::string& strategy,
                                 std::span<const SimulatedCase> cases) {
  Json list = Json::array();
  for (const SimulatedCase& one : cases)
    list.push_back({{"workload", one.workload},
                    {"width_ratio", one.width_ratio},
                    {"contiguous_seconds", one.contiguous_seconds},
                    {"planned_seconds", one.planned_seconds},
                    {"even_seconds", one.even_seconds},
                    {"uniform_routing_seconds", one.uniform_seconds},
                    {"throughput_kept", one.uniform_seconds / one.planned_seconds}});
  return Json{{"strategy", strategy}, {"cases", list}}.dump() + "\n";
}

}  // namespace hetmoe
