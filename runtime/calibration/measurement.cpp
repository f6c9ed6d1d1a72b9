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
  clock_->restart();
  const std::size_t start = clock_->mark();
  work();
  const std::size_t end = clock_->mark();
  clock_->wait();
  return clock_->seconds_between(start, end);
}

std::vector<double> Measurement::slowest(std::vector<double> values) {
  control_.all_reduce(buffer_of(std::span<double>(values)), Reduction::kMax).wait();
  return values;
}

std::vector<double> Measurement::medians(double seconds, const Parts& parts) {
  return medians_of_repeated(seconds, [&](int repetitions) {
    std::vector<std::vector<double>> runs;
    for (int repetition = 0; repetition < repetitions; ++repetition) runs.push_back(parts());
    return runs;
  });
}

std::vector<double> Measurement::medians_of(double seconds,
                                            const std::vector<std::function<void()>>& pieces) {
  return medians_of_repeated(seconds, [&](int repetitions) {
    clock_->restart();
    const std::size_t start = clock_->mark();
    for (int repetition = 0; repetition < repetitions; ++repetition) {
      for (const auto& piece : pieces) {
        piece();
        clock_->mark();
      }
    }
    clock_->wait();
    std::vector<std::vector<double>> runs(static_cast<std::size_t>(repetitions));
    std::size_t next = start;
    for (auto& run : runs) {
      for (std::size_t part = 0; part < pieces.size(); ++part, ++next) {
        run.push_back(clock_->seconds_between(next, next + 1));
      }
    }
    return runs;
  });
}

std::vector<double> Measurement::medians_of_repeated(double seconds, const Repeat& repeat) {
  // A first run that compiles kernels says nothing about the next.
  std::vector<double> run = repeat(1)[0];
  const double first = slowest({std::reduce(run.begin(), run.end())})[0];
  if (first < seconds) run = repeat(1)[0];
  const double once = slowest({std::reduce(run.begin(), run.end())})[0];
  const double wanted = seconds / std::max(once, kShortestSeconds);
  const int repetitions =
      static_cast<int>(std::clamp<double>(std::ceil(wanted), 1, kMostRepetitions));

  std::vector<std::vector<double>> samples(run.size());
  for (const std::vector<double>& values : repeat(repetitions)) {
    for (std::size_t part = 0; part < samples.size(); ++part) samples[part].push_back(values[part]);
  }
  std::vector<double> result;
  for (auto& sample : samples) {
    result.push_back(std::max(kShortestSeconds, hetmoe::median(std::move(sample))));
  }
  return slowest(std::move(result));
}

double Measurement::median(double seconds, const std::function<void()>& work) {
  return medians_of(seconds, {work})[0];
}

}  // namespace hetmoe
