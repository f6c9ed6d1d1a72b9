#include "runtime/calibration/yardsticks.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include "runtime/calibration/random_tensor.h"

namespace hetmoe {

double measure_peak(Measurement& measurement, const at::TensorOptions& place, double seconds) {
  const at::Tensor a = random_tensor({2048, 1024}, 1.0, place);
  const at::Tensor b = random_tensor({1024, 2048}, 1.0, place);
  at::Tensor out = at::mm(a, b);
  return 2.0 * 2048 * 1024 * 2048 / measurement.median(seconds, [&] { at::mm_out(out, a, b); });
}

double measure_memory(Measurement& measurement, std::int64_t copy_bytes,
                      const at::TensorOptions& place, double seconds) {
  const auto bytes = place.dtype(at::kByte);
  const at::Tensor from = at::zeros({copy_bytes}, bytes);
  at::Tensor to = at::zeros({copy_bytes}, bytes);
  return 2.0 * static_cast<double>(copy_bytes) /
         measurement.median(seconds, [&] { to.copy_(from); });
}

}  // namespace hetmoe
