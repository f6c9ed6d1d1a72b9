#include "runtime/calibration/calibration.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>

#include "core/tensor/device.h"
#include "core/tensor/work_clock.h"
#include "parallel/communicator/device_choice.h"
#include "parallel/communicator/device_groups.h"
#include "parallel/communicator/nccl_communicator.h"
#include "parallel/communicator/rank_hosts.h"
#include "runtime/calibration/dense_measurement.h"
#include "runtime/calibration/expert_measurement.h"
#include "runtime/calibration/host_description.h"
#include "runtime/calibration/layer_measurement.h"
#include "runtime/calibration/link_measurement.h"
#include "runtime/calibration/measurement.h"
#include "runtime/calibration/median_cluster.h"
#include "runtime/calibration/memory_measurement.h"
#include "runtime/calibration/yardsticks.h"
#include "runtime/trainer/compute_choice.h"
#include "runtime/trainer/configured_products.h"
#include "runtime/trainer/process_memory.h"

namespace hetmoe {
namespace {

/// One calibration under way: the sections in their order, each filling its part of the cluster.
class Calibration {
 public:
  explicit Calibration(const CalibrationRequest& request)
      : request_(request),
        plan_(request.plan),
        // Training has a communicator per class of traffic; the all-to-all's is not that of
        // control.
        control_(request.world.split(0, request.world.rank())),
        devices_(request.config.train.collective_seconds) {}

  Cluster run() {
    choose();
    measure_compute();
    measure_links_and_describe();
    return std::move(cluster_);
  }

 private:
  void choose();
  void measure_compute();
  Cluster measure_round(int round);
  double memory_of_rank(int ranks_per_node);
  void measure_links_and_describe();
  void section(const std::string& text);

  const CalibrationRequest& request_;
  CalibrationPlan plan_;
  std::unique_ptr<Communicator> control_;
  DeviceGroups devices_;
  ComputeDevice device_;
  std::optional<Measurement> measurement_;
  at::TensorOptions place_;  ///< compute type and device
  Cluster cluster_;
};

void Calibration::section(const std::string& text) {
  if (control_->rank() == 0) request_.progress(text);
}

void Calibration::choose() {
  const ComputeChoice choice = choose_compute(request_.config, *control_, request_.clock);
  device_ = choice.device;
  if (device_.on_gpu) plan_.products = configured_products(request_.config, *control_);
  for (const auto* lines : {&choice.notes, &choice.warnings}) {
    for (const std::string& line : *lines) section(line);
  }
  std::array<std::int64_t, 1> threads = {choice.threads};
  control_->all_reduce(buffer_of(std::span<std::int64_t>(threads)), Reduction::kMin).wait();
  cluster_.threads = static_cast<int>(threads[0]);
  cluster_.precision = choice.precision == Precision::kBf16 ? "bf16" : "fp32";
  place_ = at::TensorOptions(choice.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat)
               .device(device_.on_gpu ? gpu_device() : at::Device(at::kCPU));
  measurement_.emplace(
      *control_, device_.on_gpu ? make_gpu_work_clock() : make_host_work_clock(request_.clock));
}

void Calibration::measure_compute() {
  // Products are called as from inside autograd's functions, which record nothing.
  const at::NoGradGuard without_gradients;
  section("peak: one large product");
  fit_into_time(plan_, measure_peak(*measurement_, place_, divide_seconds(plan_).peak));
  std::vector<Cluster> rounds;
  for (int round = 1; round <= kCalibrationRounds; ++round) rounds.push_back(measure_round(round));
  cluster_ = median_of(std::move(rounds));
}

Cluster Calibration::measure_round(int round) {
  const CalibrationSeconds seconds = divide_seconds(plan_);
  const auto announce = [&](const std::string& text) {
    section("round " + std::to_string(round) + " of " + std::to_string(kCalibrationRounds) + ": " +
            text);
  };
  Cluster measured = cluster_;
  announce("expert products, " + std::to_string(plan_.hidden_sizes.size()) + " hidden sizes x " +
           std::to_string(plan_.rows.size()) + " numbers of rows x " +
           std::to_string(plan_.widths.size()) + " widths");
  measured.expert_products =
      measure_expert_products(*measurement_, plan_, place_, seconds.expert_point);
  announce("dense products, attention, output head");
  measured.peak_flops_per_second = measure_peak(*measurement_, place_, seconds.peak);
  measured.dense_products =
      measure_dense_products(*measurement_, plan_, place_, seconds.dense_point);
  measured.attention = measure_attention(*measurement_, plan_, place_, seconds.attention_point);
  measured.output_head = measure_output_head(*measurement_, plan_, place_, seconds.head_point);
  announce("optimizer, memory");
  measured.optimizer_bytes_per_second =
      measure_optimizer(*measurement_, plan_.optimizer_elements, place_, seconds.memory);
  measured.memory_bytes_per_second =
      measure_memory(*measurement_, plan_.copy_bytes, place_, seconds.memory);
  announce("layers");
  measure_layers(*measurement_, plan_, place_, request_.clock, seconds.layer_point, measured);
  return measured;
}

/// Ranks of a node share its memory, those of a GPU share that.
double Calibration::memory_of_rank(int ranks_per_node) {
  if (!device_.on_gpu) return static_cast<double>(memory_limit_bytes()) / ranks_per_node;
  const std::vector<int> devices = device_numbers(*control_, device_.uuid);
  const auto own = devices[static_cast<std::size_t>(control_->rank())];
  return static_cast<double>(device_.memory_bytes) /
         static_cast<double>(std::ranges::count(devices, own));
}

void Calibration::measure_links_and_describe() {
  section("links");
  const std::vector<int> hosts = hosts_of_ranks(*control_);
  std::unique_ptr<Communicator> over_gpus;
  if (device_.on_gpu) {
    over_gpus = make_nccl_communicator(request_.world.split(0, request_.world.rank()),
                                       {.compute_stream = compute_stream, .groups = &devices_});
  }
  const MeasuredLinks links =
      measure_links(*measurement_, over_gpus ? *over_gpus : request_.world, hosts,
                    plan_.message_bytes, kCalibrationRounds * divide_seconds(plan_).link_point);
  cluster_.ranks_per_node = links.ranks_per_node;
  // What could not be measured stands for itself as well as it can; the source says so.
  cluster_.same_node = links.same_node    ? *links.same_node
                       : links.other_node ? *links.other_node
                                          : links.within_rank;
  cluster_.other_node = links.other_node ? *links.other_node : cluster_.same_node;
  cluster_.memory_bytes = memory_of_rank(links.ranks_per_node);
  describe_hosts({.ranks = control_->size(),
                  .nodes = *std::max_element(hosts.begin(), hosts.end()) + 1,
                  .device = device_.on_gpu ? device_.name : "",
                  .wall_seconds = request_.clock.wall_seconds(),
                  .same_node = links.same_node.has_value(),
                  .other_node = links.other_node.has_value()},
                 *control_, cluster_);
}

}  // namespace

Cluster calibrate(const CalibrationRequest& request) {
  keep_freed_memory();
  return Calibration(request).run();
}

}  // namespace hetmoe
