#include "runtime/trainer/memory_check.h"

#include <iomanip>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "core/model/parameter_specs.h"
#include "parallel/agreement.h"
#include "parallel/communicator/rank_hosts.h"
#include "parallel/ownership/dense_partition.h"
#include "parallel/placement/owned_slices.h"
#include "runtime/trainer/process_memory.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kGradientBytes = 4;
constexpr std::int64_t kMomentBytes = 8;
constexpr std::int64_t kMasterBytes = 4;  ///< in fp32 the compute copy is the master

/// [ranks] elements of slices that each holds.
std::vector<std::int64_t> held_elements(const RunConfig& config, const Placement& placement,
                                        int ranks) {
  std::vector<std::int64_t> elements(static_cast<std::size_t>(ranks), 0);
  for (const LayerPlacement& layer : placement.layers) {
    for (const PlacedSlice& slice : layer.slices) {
      elements[slice.rank] += kExpertMatrices * slice.width() * config.model.hidden_size;
    }
  }
  return elements;
}

std::string gibibytes(std::int64_t bytes) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << static_cast<double>(bytes) / (1 << 30) << " GiB";
  return text.str();
}

}  // namespace

std::vector<std::int64_t> parameter_bytes(const RunConfig& config, const Placement& placement,
                                          int ranks) {
  const std::vector<std::int64_t> held_slices = held_elements(config, placement, ranks);
  std::vector<std::int64_t> owned_slices = owned_rows(placement, {ranks, 1});
  for (std::int64_t& rows : owned_slices) rows *= kExpertMatrices * config.model.hidden_size;
  const auto owned_dense =
      owned_dense_elements(partition_dense(dense_tensor_specs(config.model), owned_slices));
  const std::int64_t dense = std::reduce(owned_dense.begin(), owned_dense.end());
  const bool fp32 = config.train.precision == Precision::kFp32;
  std::vector<std::int64_t> bytes;
  for (int rank = 0; rank < ranks; ++rank) {
    const std::int64_t held = dense + held_slices[rank];
    const std::int64_t owned = owned_dense[rank] + owned_slices[rank];
    bytes.push_back(held * ((fp32 ? 4 : 2) + kGradientBytes) +
                    owned * (kMomentBytes + (fp32 ? 0 : kMasterBytes)));
  }
  return bytes;
}

void require_memory(const RunConfig& config, const Placement& placement, Communicator& control) {
  const std::vector<int> hosts = hosts_of_ranks(control);
  const int own_host = hosts[control.rank()];
  const std::vector<std::int64_t> bytes = parameter_bytes(config, placement, control.size());
  std::int64_t needed = 0;
  int ranks_here = 0;
  for (int rank = 0; rank < control.size(); ++rank) {
    if (hosts[rank] != own_host) continue;
    needed += bytes[rank];
    ++ranks_here;
  }
  collectively(control, [&] {
    const std::int64_t available = memory_limit_bytes();
    if (needed <= available) return;
    throw ConfigError("the model needs " + gibibytes(needed) +
                      " for the parameters, gradients and moments of the " +
                      std::to_string(ranks_here) + " ranks on this host, which has " +
                      gibibytes(available) + ": use more hosts or a smaller model");
  });
}

}  // namespace hetmoe
