#include "runtime/calibration/median_cluster.h"

#include <utility>
#include <variant>

#include "core/base/check.h"
#include "core/base/median.h"
#include "core/config/field.h"

namespace hetmoe {
namespace {

/// The numbers behind a key: all measurements are real, all sizes whole.
std::vector<double*> numbers_of(const Field& field) {
  std::vector<double*> numbers;
  if (const auto* single = std::get_if<double*>(&field.value)) numbers.push_back(*single);
  if (const auto* table = std::get_if<std::vector<double>*>(&field.value)) {
    for (double& number : **table) numbers.push_back(&number);
  }
  return numbers;
}

}  // namespace

Cluster median_of(std::vector<Cluster> rounds) {
  HETMOE_CHECK(!rounds.empty(), "no rounds");
  Cluster result = rounds.front();
  std::vector<std::vector<Field>> fields;
  for (Cluster& round : rounds) fields.push_back(list_fields(round));
  const std::vector<Field> targets = list_fields(result);
  for (std::size_t key = 0; key < targets.size(); ++key) {
    const std::vector<double*> target = numbers_of(targets[key]);
    for (std::size_t i = 0; i < target.size(); ++i) {
      std::vector<double> values;
      for (const auto& round : fields) values.push_back(*numbers_of(round[key]).at(i));
      *target[i] = median(std::move(values));
    }
  }
  return result;
}

}  // namespace hetmoe
