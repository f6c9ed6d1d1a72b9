#include "runtime/trainer/load_average.h"

#include <algorithm>
#include <cmath>

namespace hetmoe {
namespace {

constexpr std::int64_t kSteps = 100;

}  // namespace

void LoadAverage::add(const Loads& load) {
  steps_ = std::min(steps_ + 1, kSteps);
  mean_.resize(load.size());
  for (std::size_t layer = 0; layer < load.size(); ++layer) {
    mean_[layer].resize(load[layer].size());
    for (std::size_t i = 0; i < load[layer].size(); ++i) {
      double& mean = mean_[layer][i];
      mean += (static_cast<double>(load[layer][i]) - mean) / static_cast<double>(steps_);
    }
  }
}

void LoadAverage::restore(const Loads& load) {
  mean_.clear();
  for (const auto& layer : load) mean_.emplace_back(layer.begin(), layer.end());
  steps_ = load.empty() ? 0 : kSteps;
}

Loads LoadAverage::tokens() const {
  Loads tokens(mean_.size());
  for (std::size_t layer = 0; layer < mean_.size(); ++layer) {
    for (const double mean : mean_[layer]) tokens[layer].push_back(std::llround(mean));
  }
  return tokens;
}

}  // namespace hetmoe
