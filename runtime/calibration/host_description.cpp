#include "runtime/calibration/host_description.h"

#include <array>
#include <fstream>
#include <span>
#include <string>

#include "parallel/agreement.h"
#include "runtime/metrics/utc_time.h"

namespace hetmoe {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

std::string counted(int count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string source_text(const CalibrationCircumstances& circumstances) {
  std::string text = "hetmoe calibrate, " + counted(circumstances.ranks, "rank") + " on " +
                     counted(circumstances.nodes, "node") + ", " +
                     iso8601_utc(circumstances.wall_seconds);
  if (!circumstances.same_node && !circumstances.other_node) {
    text += "; links not measured (one rank): a message of the rank to itself stands for both";
  } else if (!circumstances.other_node) {
    text += "; other_node not measured (one node): the values of same_node stand for it";
  } else if (!circumstances.same_node) {
    text += "; same_node not measured (one rank per node): the values of other_node stand for it";
  }
  return text;
}

}  // namespace

void describe_hosts(const CalibrationCircumstances& circumstances, Communicator& control,
                    Cluster& cluster) {
  std::array<double, 1> memory = {cluster.memory_bytes};
  control.all_reduce(buffer_of(std::span<double>(memory)), Reduction::kMin).wait();
  cluster.memory_bytes = memory[0];
  const std::string what =
      circumstances.device.empty()
          ? processor_name() + ", " + counted(cluster.threads, "thread") + " per rank"
          : circumstances.device;
  const std::string name = what + ", " + cluster.precision;
  cluster.name = broadcast_text(control, name, 0);
  cluster.source = broadcast_text(control, source_text(circumstances), 0);
}

}  // namespace hetmoe
