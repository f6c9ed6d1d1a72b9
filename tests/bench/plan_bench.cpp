// The planner's figures: balance, memory and traffic of 200 instances per kind; with --exact
// SECONDS beside the proven optimum; plan time of large problems.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>
#include <vector>

#include "parallel/placement/cost.h"
#include "parallel/placement/exact_planner.h"
#include "tests/support/placement_instances.h"

namespace hetmoe::bench {
namespace {

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void instances(const InstanceKind& kind, int count) {
  std::vector<double> seconds;
  double flops = 0, memory = 0, traffic = 0, cuts = 0;
  for (int seed = 0; seed < count; ++seed) {
    const PlanProblem problem = random_instance(kind, static_cast<std::uint64_t>(seed));
    Plan result;
    seconds.push_back(seconds_of([&] { result = plan(problem, PlanStrategy::kSlices); }));
    flops = std::max(flops, result.layers[0].flops_max_over_mean);
    memory = std::max(memory, result.memory_max_over_mean);
    traffic += result.layers[0].traffic_ratio / count;
    cuts += (static_cast<double>(result.placement.layers[0].slices.size()) - kind.experts) / count;
  }
  const nlohmann::ordered_json line = {{"case", "slices"},
                                       {"experts", kind.experts},
                                       {"ranks", kind.ranks},
                                       {"sigma", kind.sigma},
                                       {"instances", count},
                                       {"worst_flops_max_over_mean", flops},
                                       {"worst_memory_max_over_mean", memory},
                                       {"mean_traffic_ratio", traffic},
                                       {"mean_cuts", cuts},
                                       {"median_milliseconds", 1e3 * median(seconds)}};
  std::cout << line.dump() << std::endl;
}

void beside_exact(const InstanceKind& kind, int count, double limit) {
  int proven = 0;
  double over_proven = 0, over_bound = 0, worst = 0;
  for (int seed = 0; seed < count; ++seed) {
    const PlanProblem problem = random_instance(kind, static_cast<std::uint64_t>(seed));
    const Plan ours = plan(problem, PlanStrategy::kSlices);
    const auto& loads = problem.layers[0].tokens;
    const double traffic =
        ours.layers[0].traffic_ratio * static_cast<double>(std::reduce(loads.begin(), loads.end()));
    const std::vector<std::int64_t> none(static_cast<std::size_t>(kind.ranks), 0);
    const auto exact =
        place_exactly(problem.layers[0], kind.ranks, problem.tolerance, problem.granularity,
                      room_for_layer(problem, 0, none), limit, &ours.placement.layers[0]);
    if (!exact) continue;
    const double ratio = traffic / exact->traffic_bound;
    if (exact->proven) {
      ++proven;
      over_proven += ratio;
      worst = std::max(worst, ratio);
    } else {
      over_bound += ratio;
    }
  }
  const int open = count - proven;
  const nlohmann::ordered_json line = {
      {"case", "slices over exact"},
      {"experts", kind.experts},
      {"ranks", kind.ranks},
      {"sigma", kind.sigma},
      {"instances", count},
      {"proven", proven},
      {"mean_over_optimum", proven > 0 ? over_proven / proven : 0},
      {"worst_over_optimum", worst},
      {"mean_over_bound_elsewhere", open > 0 ? over_bound / open : 0}};
  std::cout << line.dump() << std::endl;
}

void plan_time(int layers, int experts, int ranks) {
  PlanProblem problem = random_instance({experts, ranks, 0.7}, 0);
  for (int layer = 1; layer < layers; ++layer) {
    problem.layers.push_back(
        random_instance({experts, ranks, 0.7}, static_cast<std::uint64_t>(layer)).layers[0]);
  }
  Plan result;
  std::vector<double> seconds;
  for (int round = 0; round < 3; ++round) {
    seconds.push_back(seconds_of([&] { result = plan(problem, PlanStrategy::kSlices); }));
  }
  double flops = 0, traffic = 0;
  for (const LayerCost& cost : result.layers) {
    flops = std::max(flops, cost.flops_max_over_mean);
    traffic += cost.traffic_ratio / layers;
  }
  const nlohmann::ordered_json line = {{"case", "plan time"},
                                       {"layers", layers},
                                       {"experts", experts},
                                       {"ranks", ranks},
                                       {"median_milliseconds", 1e3 * median(seconds)},
                                       {"worst_flops_max_over_mean", flops},
                                       {"memory_max_over_mean", result.memory_max_over_mean},
                                       {"mean_traffic_ratio", traffic}};
  std::cout << line.dump() << std::endl;
}

}  // namespace
}  // namespace hetmoe::bench

// hetmoe_plan_bench [--exact SECONDS [INSTANCES [EXPERTSxRANKS]]]
int main(int argc, char** argv) {
  using namespace hetmoe;
  if (argc > 2 && std::string_view(argv[1]) == "--exact") {
    const int count = argc > 3 ? std::atoi(argv[3]) : 20;
    const std::string only = argc > 4 ? argv[4] : "";
    for (const InstanceKind& kind : kInstanceKinds) {
      const std::string name = std::to_string(kind.experts) + "x" + std::to_string(kind.ranks);
      if (only.empty() || only == name) bench::beside_exact(kind, count, std::atof(argv[2]));
    }
    return 0;
  }
  for (const InstanceKind& kind : kInstanceKinds) bench::instances(kind, 200);
  bench::plan_time(24, 8, 4);
  bench::plan_time(64, 256, 256);
  bench::plan_time(64, 256, 1024);
  return 0;
}
