#include "tests/bench/yardstick.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include "core/base/random.h"

namespace hetmoe::bench {

at::Tensor normal(const char* name, std::int64_t rows, std::int64_t columns, double deviation) {
  at::Tensor values = at::empty({rows, columns}, at::TensorOptions(at::kFloat));
  for (std::int64_t row = 0; row < rows; ++row) {
    CounterRandom(7, name).fill_normal(
        row, deviation,
        {values.mutable_data_ptr<float>() + row * columns, static_cast<std::size_t>(columns)});
  }
  return values;
}

Case yardstick(at::ScalarType type) {
  const at::Tensor a = normal("a", 2048, 1024, 1.0).to(type);
  const at::Tensor b = normal("b", 1024, 2048, 1.0).to(type);
  return {"yardstick", 2.0 * 2048 * 1024 * 2048, [a, b] { at::mm(a, b); }};
}

}  // namespace hetmoe::bench
