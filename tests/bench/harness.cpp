#include "tests/bench/harness.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "core/base/median.h"

namespace hetmoe::bench {

std::vector<Timing> time_alternating(const std::vector<Case>& cases, int rounds) {
  std::vector<std::vector<double>> seconds(cases.size());
  for (const Case& c : cases) c.run();
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const auto start = std::chrono::steady_clock::now();
      cases[i].run();
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      seconds[i].push_back(elapsed.count());
    }
  }
  std::vector<Timing> timings;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto [lowest, highest] = std::ranges::minmax(seconds[i]);
    timings.push_back({.name = cases[i].name,
                       .median_seconds = median(seconds[i]),
                       .lowest_seconds = lowest,
                       .highest_seconds = highest,
                       .flops = cases[i].flops,
                       .seconds = std::move(seconds[i])});
  }
  return timings;
}

std::string json_line(const Timing& timing, double yardstick_flops_per_second, int threads) {
  nlohmann::ordered_json line;
  line["case"] = timing.name;
  line["threads"] = threads;
  line["median_seconds"] = timing.median_seconds;
  line["lowest_seconds"] = timing.lowest_seconds;
  line["highest_seconds"] = timing.highest_seconds;
  line["gflops_per_second"] = timing.flops_per_second() / 1e9;
  line["share_of_yardstick"] = timing.flops_per_second() / yardstick_flops_per_second;
  return line.dump();
}

}  // namespace hetmoe::bench
