#pragma once

#include <functional>
#include <string>
#include <vector>

namespace hetmoe::bench {

/// Something to be timed, and what one call of it counts.
struct Case {
  std::string name;
  double flops = 0;  ///< of one call: 2 m n k of every product
  std::function<void()> run;
};

/// Times of all cases: `rounds` rounds after a warm-up, in each round every case once, so that a
/// drift of the machine meets all of them alike.
struct Timing {
  std::string name;
  double median_seconds = 0;
  double lowest_seconds = 0;
  double highest_seconds = 0;
  double flops = 0;
  std::vector<double> seconds;  ///< of every round, in their order
  double flops_per_second() const { return flops / median_seconds; }
};
std::vector<Timing> time_alternating(const std::vector<Case>& cases, int rounds);

/// One JSON line: name, threads, median, lowest and highest seconds, GFLOP/s, and its share of the
/// yardstick's rate (a 2048 x 1024 x 2048 at::mm of the same type, process and thread count).
std::string json_line(const Timing& timing, double yardstick_flops_per_second, int threads);

}  // namespace hetmoe::bench
