#include "runtime/trainer/profiling.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "core/files/atomic_file.h"
#include "parallel/agreement.h"
#include "runtime/calibration/measurement.h"
#include "runtime/calibration/yardsticks.h"

namespace hetmoe {
namespace {

// Kernels are compiled and memory grows in the first steps.
constexpr std::int64_t kWarmUpSteps = 3;
constexpr std::int64_t kCopyBytes = std::int64_t{256} << 20;  // more than caches hold
constexpr double kSeconds = 0.5;

}  // namespace

Profiling::Profiling(const ProfilingRequest& request)
    : request_(request),
      recording_(request.clock),
      begin_(std::clamp(request.last_step - request.steps + 1, request.first_step,
                        request.first_step + kWarmUpSteps)),
      end_(std::min(begin_ + request.steps, request.last_step + 1)) {}

void Profiling::begin_step(std::int64_t step) {
  if (step >= begin_ && step < end_) recording_.begin_step(step);
}

std::string Profiling::end_step(std::int64_t step, double model_flops) {
  if (step < begin_ || step >= end_) return {};
  recording_.end_step();
  model_flops_ += model_flops / static_cast<double>(end_ - begin_);
  if (step + 1 < end_) return {};
  const Roofline roofline = measure_roofline();
  const int rank = request_.control.rank();
  const ProfileSubject subject{.rank = rank,
                               .ranks = request_.control.size(),
                               .precision = request_.precision,
                               .threads = at::get_num_threads(),
                               .tokens = request_.tokens,
                               .model_flops = model_flops_};
  std::string table = profile_table(profile_of(recording_.steps()), subject, roofline);
  collectively(request_.control, [&] {
    const std::string name = "rank-" + std::to_string(rank);
    std::filesystem::create_directories(request_.folder);
    write_file_atomically(request_.folder / (name + ".txt"), table);
    write_file_atomically(request_.folder / (name + ".trace.json"),
                          chrome_trace(recording_.steps(), subject));
  });
  return table;
}

Roofline Profiling::measure_roofline() {
  Measurement measurement(request_.control, request_.clock);
  const at::TensorOptions place(request_.precision == "bf16" ? at::kBFloat16 : at::kFloat);
  return {.flops_per_second = measure_peak(measurement, place, kSeconds),
          .bytes_per_second = measure_memory(measurement, kCopyBytes, place, kSeconds)};
}

}  // namespace hetmoe
