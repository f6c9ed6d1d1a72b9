#include "tests/integration/gathered_gradients.h"

#include <cmath>
#include <span>
#include <stdexcept>

namespace hetmoe {

void GatheredGradients::add(const Ownership& ownership) {
  const std::lock_guard lock(mutex_);
  for (const OwnedRows& owned : ownership.owned()) {
    const std::span<const float> values(owned.gradient.const_data_ptr<float>(),
                                        static_cast<std::size_t>(owned.gradient.numel()));
    const Rows rows{.end = owned.row_end, .values = {values.begin(), values.end()}};
    if (!tensors_[owned.name].emplace(owned.row_begin, rows).second) {
      throw std::runtime_error(owned.name + ": a row has two owners");
    }
  }
}

std::vector<double> GatheredGradients::tensor(const std::string& name) const {
  std::vector<double> values;
  std::int64_t next = 0;
  for (const auto& [begin, rows] : tensors_.at(name)) {
    if (begin != next) {
      throw std::runtime_error(name + ": rows end at " + std::to_string(next) + " and go on at " +
                               std::to_string(begin));
    }
    values.insert(values.end(), rows.values.begin(), rows.values.end());
    next = rows.end;
  }
  return values;
}

std::vector<std::string> GatheredGradients::names() const {
  std::vector<std::string> names;
  for (const auto& [name, rows] : tensors_) names.push_back(name);
  return names;
}

double norm_of(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value * value;
  return std::sqrt(sum);
}

double projection_of(const std::vector<double>& values, int k) {
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += values[i] * std::cos(0.7 * k + 0.013 * k * static_cast<double>(i));
  }
  return sum;
}

}  // namespace hetmoe
