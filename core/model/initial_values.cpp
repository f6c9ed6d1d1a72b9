#include "core/model/initial_values.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/random.h"

namespace hetmoe {

void initial_rows(std::uint64_t seed, const std::string& name, const Initial& initial,
                  std::int64_t row_begin, std::int64_t columns, std::span<float> out) {
  if (initial.kind == Initial::Kind::kConstant) {
    std::fill(out.begin(), out.end(), static_cast<float>(initial.scale));
    return;
  }
  const auto count = static_cast<std::int64_t>(out.size());
  HETMOE_CHECK(count % columns == 0, count, " values in rows of ", columns);
  const CounterRandom random(seed, name);
  for (std::int64_t row = 0; row < count / columns; ++row) {
    const std::span<float> values = out.subspan(row * columns, columns);
    if (initial.kind == Initial::Kind::kNormal) {
      random.fill_normal(row_begin + row, initial.scale, values);
    } else {
      random.fill_uniform(row_begin + row, initial.scale, values);
    }
  }
}

}  // namespace hetmoe
