#pragma once

#include <string>

#include "parallel/communicator/communicator.h"
#include "parallel/placement/cluster.h"

namespace hetmoe {

/// On what a calibration ran, and what of its links it could measure.
struct CalibrationCircumstances {
  int ranks = 1;
  int nodes = 1;
  std::string device;       ///< a GPU's name; empty: the processor's counts
  double wall_seconds = 0;  ///< since 1970-01-01 UTC
  bool same_node = false;   ///< measured
  bool other_node = false;  ///< measured
};

/// Fills cluster.name and cluster.source with what rank 0 knows of its host and device, and brings
/// cluster.memory_bytes to the least of all ranks. Collective. The same on all ranks.
void describe_hosts(const CalibrationCircumstances& circumstances, Communicator& control,
                    Cluster& cluster);

}  // namespace hetmoe
