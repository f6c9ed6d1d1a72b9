#include "runtime/trainer/compute_choice.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "core/tensor/device.h"
#include "parallel/communicator/rank_hosts.h"

namespace hetmoe {
namespace {

constexpr double kLeastGain = 1.2;

/// Where this rank may run; core 0 where the kernel does not say (more than 1,024 cores).
cpu_set_t affinity_mask() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) CPU_SET(0, &mask);
  return mask;
}

/// "0-3,8".
std::string cores_text(const cpu_set_t& mask) {
  std::string text;
  for (int first = 0; first < CPU_SETSIZE; ++first) {
    if (!CPU_ISSET(first, &mask)) continue;
    int last = first;
    while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &mask)) ++last;
    if (!text.empty()) text += ',';
    text.append(std::to_string(first));
    if (last > first) text.append("-").append(std::to_string(last));
    first = last;
  }
  return text;
}

/// Ranks, this one included, that may use one of this rank's cores. Collective.
int ranks_sharing_cores(Communicator& control, const std::vector<int>& hosts) {
  const auto rank = static_cast<std::size_t>(control.rank());
  std::vector<cpu_set_t> masks(static_cast<std::size_t>(control.size()), cpu_set_t{});
  masks[rank] = affinity_mask();
  const std::vector<std::int64_t> counts(masks.size(), sizeof(cpu_set_t));
  control
      .all_gather_v({masks.data(), static_cast<std::int64_t>(masks.size() * sizeof(cpu_set_t)),
                     DataType::kByte},
                    counts)
      .wait();
  int sharing = 0;
  for (std::size_t other = 0; other < masks.size(); ++other) {
    cpu_set_t both;
    CPU_AND(&both, &masks[other], &masks[rank]);
    if (hosts[other] == hosts[rank] && CPU_COUNT(&both) > 0) ++sharing;
  }
  return std::max(1, sharing);
}

/// The least and the most of each, over all ranks. Collective.
CoreUse core_use(Communicator& control, int hosts, int threads, int cores, int sharing) {
  std::array<std::int64_t, 5> most = {threads, -threads, cores, -cores, sharing};
  control.all_reduce(buffer_of(std::span<std::int64_t>(most)), Reduction::kMax).wait();
  return {.hosts = hosts,
          .least_threads = static_cast<int>(-most[1]),
          .most_threads = static_cast<int>(most[0]),
          .least_cores = static_cast<int>(-most[3]),
          .most_cores = static_cast<int>(most[2]),
          .most_sharing = static_cast<int>(most[4])};
}

/// Seconds of one product, best of three after a warm-up.
double product_seconds(at::ScalarType type, const ComputeDevice& device, const Clock& clock) {
  const at::Device there = device.on_gpu ? gpu_device() : at::Device(at::kCPU);
  const at::Tensor a = at::ones({1024, 1024}, at::TensorOptions(type).device(there));
  at::Tensor out = at::mm(a, a);
  if (device.on_gpu) wait_for_gpu();
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const double start = clock.monotonic_seconds();
    at::mm_out(out, a, a);
    if (device.on_gpu) wait_for_gpu();
    best = std::min(best, clock.monotonic_seconds() - start);
  }
  return best;
}

/// Gain of bf16 over fp32, measured on rank 0, known to all.
double measured_gain(Communicator& control, const ComputeDevice& device, const Clock& clock) {
  std::array<double, 1> gain = {0};
  if (control.rank() == 0) {
    gain[0] =
        product_seconds(at::kFloat, device, clock) / product_seconds(at::kBFloat16, device, clock);
  }
  control.broadcast(buffer_of(std::span<double>(gain)), 0).wait();
  return gain[0];
}

std::string with_digits(double value) {
  std::string text = std::to_string(value);
  return text.substr(0, text.find('.') + 3);
}

/// Sums are in fp32, whatever cuBLAS would gain otherwise; and attention is LibTorch's own, which
/// does not plan anew for every shape.
void compute_exactly() {
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowBF16ReductionCuBLAS(/*allow_reduced_precision=*/false);
  at::globalContext().setSDPUseCuDNN(false);
}

/// LibTorch takes what gives the same bits again. Without a size of its own, cuBLAS's room to work
/// in depends on what else runs.
void compute_deterministically() {
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  at::globalContext().setDeterministicFillUninitializedMemory(
      false);  // a pass over all that is new
}

}  // namespace

ComputeChoice choose_compute(const RunConfig& config, Communicator& control, const Clock& clock) {
  ComputeChoice choice;
  choice.device = choose_compute_device(config.parallel.device, control);
  if (!choice.device.note.empty()) choice.notes.push_back(choice.device.note);
  const cpu_set_t mask = affinity_mask();
  const int cores = CPU_COUNT(&mask);
  const std::vector<int> hosts = hosts_of_ranks(control);
  const int sharing = ranks_sharing_cores(control, hosts);
  choice.threads =
      config.parallel.threads > 0 ? config.parallel.threads : std::max(1, cores / sharing);
  choice.own_cores = cores_text(mask);
  choice.cores = core_use(control, 1 + std::ranges::max(hosts), choice.threads, cores, sharing);
  if (choice.threads > cores) {
    choice.warnings.push_back("parallel.threads " + std::to_string(choice.threads) + " on " +
                              std::to_string(cores) +
                              " cores this rank may use: give it more with mpirun --bind-to none, "
                              "or add --set parallel.threads=" +
                              std::to_string(cores));
  }
  const std::int64_t sequences = config.train.global_batch / config.train.microbatches;
  if (sequences < control.size()) {
    choice.warnings.push_back(
        std::to_string(control.size()) + " ranks share " + std::to_string(sequences) +
        " sequences per microbatch, some have none: add --set train.global_batch=" +
        std::to_string(control.size() * config.train.microbatches));
  }
  at::set_num_threads(choice.threads);
  at::globalContext().setFlushDenormal(true);
  if (choice.device.on_gpu) compute_exactly();
  if (config.train.deterministic) compute_deterministically();
  choice.precision = config.train.precision;
  if (choice.precision == Precision::kAuto) {
    const double gain = measured_gain(control, choice.device, clock);
    choice.precision = gain >= kLeastGain ? Precision::kBf16 : Precision::kFp32;
    choice.notes.push_back("precision auto: bf16 products run at " + with_digits(gain) +
                           " times the rate of fp32 here, taking " +
                           (choice.precision == Precision::kBf16 ? "bf16" : "fp32"));
  }
  return choice;
}

}  // namespace hetmoe
