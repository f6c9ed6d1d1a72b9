#include "runtime/calibration/memory_measurement.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <vector>

#include "core/optim/adamw_tensors.h"
#include "parallel/placement/update_bytes.h"
#include "runtime/calibration/random_tensor.h"

namespace hetmoe {

double measure_optimizer(Measurement& measurement, std::int64_t elements,
                         const at::TensorOptions& place, double seconds) {
  const bool has_copy = place.dtype() == at::kBFloat16;
  const auto fp32 = place.dtype(at::kFloat);
  const at::Tensor master = random_tensor({elements}, 0.02, fp32);
  const std::vector<AdamWTensors> pieces = {
      {.master = master,
       .gradient = random_tensor({elements}, 1e-3, fp32),
       .exp_avg = random_tensor({elements}, 1e-3, fp32),
       .exp_avg_sq = at::empty({elements}, fp32).fill_(1e-6),
       .copy = has_copy ? master.to(at::kBFloat16) : at::Tensor(),
       .decays = true}};
  const AdamWStep step{.learning_rate = 1e-4, .weight_decay = 1e-5};
  const double bytes = update_bytes_per_parameter(has_copy) * static_cast<double>(elements);
  return bytes / measurement.median(seconds, [&] { adamw_update(pieces, step); });
}

}  // namespace hetmoe
