#include "runtime/calibration/measurement.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "core/base/median.h"

namespace hetmoe {
namespace {

constexpr double kMostRepetitions = 200;
// No clock of a computer tells less apart; a part that took no time on it is given this much.
constexpr double kShortestSeconds = 1e-9;

}  // namespace

double Measurement::seconds_of(const std::function<void()>& work) const {
  const double start = clock_.monotonic_seconds();
  work();
  return clock_.monotonic_seconds() - start;
}

std::vector<double> Measurement::slowest(std::vector<double> values) {
  control_.all_reduce(buffer_of(std::span<double>(values)), Reduction::kMax).wait();
  return values;
}

std::vector<double> Measurement::medians(double seconds, const Parts& parts) {
  // A first run that compiles kernels says nothing about the next.
  std::vector<double> run = parts();
  const double first = slowest({std::reduce(run.begin(), run.end())})[0];
  if (first < seconds) run = parts();
  const double once = slowest({std::reduce(run.begin(), run.end())})[0];
  const double wanted = seconds / std::max(once, kShortestSeconds);
  const int repetitions =
      static_cast<int>(std::clamp<double>(std::ceil(wanted), 1, kMostRepetitions));

  std::vector<std::vector<double>> samples(run.size());
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    run = parts();
    for (std::size_t part = 0; part < samples.size(); ++part) samples[part].push_back(run[part]);
  }
  std::vector<double> result;
  for (auto& sample : samples) {
    result.push_back(std::max(kShortestSeconds, hetmoe::median(std::move(sample))));
  }
  return slowest(std::move(result));
}

double Measurement::median(double seconds, const std::function<void()>& work) {
  return medians(seconds, [&] { return std::vector<double>{seconds_of(work)}; })[0];
}

}  // namespace hetmoe
