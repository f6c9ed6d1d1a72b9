#include "core/model/initial_values.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/random.h"

namespace hetmoe {

void initial_rows(std::uint64_t seed, const std::string& name, bool is_matrix,
                  double standard_deviation, std::int64_t row_begin, std::int64_t columns,
                  std::span<float> out) {
  if (!is_matrix) {
    std::fill(out.begin(), out.end(), 1.0F);
    return;
  }
  const auto count = static_cast<std::int64_t>(out.size());
  HETMOE_CHECK(count % columns == 0, count, " values in rows of ", columns);
  const CounterRandom random(seed, name);
  for (std::int64_t row = 0; row < count / columns; ++row) {
    random.fill_normal(row_begin + row, standard_deviation, out.subspan(row * columns, columns));
  }
}

}  // namespace hetmoe
