#include "runtime/calibration/memory_measurement.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <vector>

#include "core/optim/adamw.h"
#include "parallel/placement/update_bytes.h"
#include "runtime/calibration/random_tensor.h"

namespace hetmoe {

double measure_memory(Measurement& measurement, std::int64_t copy_bytes, double seconds) {
  const auto bytes = at::TensorOptions(at::kByte);
  const at::Tensor from = at::zeros({copy_bytes}, bytes);
  at::Tensor to = at::zeros({copy_bytes}, bytes);
  return 2.0 * static_cast<double>(copy_bytes) /
         measurement.median(seconds, [&] { to.copy_(from); });
}

double measure_optimizer(Measurement& measurement, std::int64_t elements, at::ScalarType type,
                         double seconds) {
  const bool has_copy = type == at::kBFloat16;
  const auto fp32 = at::TensorOptions(at::kFloat);
  at::Tensor master = random_tensor({elements}, 0.02, at::kFloat);
  const at::Tensor gradient = random_tensor({elements}, 1e-3, at::kFloat);
  at::Tensor exp_avg = random_tensor({elements}, 1e-3, at::kFloat);
  at::Tensor exp_avg_sq = at::empty({elements}, fp32).fill_(1e-6);
  at::Tensor copy = has_copy ? master.to(type) : at::Tensor();
  const std::vector<AdamWPiece> pieces = {
      {.master = master.mutable_data_ptr<float>(),
       .gradient = gradient.const_data_ptr<float>(),
       .exp_avg = exp_avg.mutable_data_ptr<float>(),
       .exp_avg_sq = exp_avg_sq.mutable_data_ptr<float>(),
       .copy = has_copy ? copy.mutable_data_ptr<at::BFloat16>() : nullptr,
       .count = elements,
       .decays = true}};
  const AdamWStep step{.learning_rate = 1e-4, .weight_decay = 1e-5};
  const double bytes = update_bytes_per_parameter(has_copy) * static_cast<double>(elements);
  return bytes / measurement.median(seconds, [&] { adamw_update(pieces, step); });
}

}  // namespace hetmoe
