#pragma once

#include <string>

#include "parallel/placement/cluster.h"

namespace hetmoe {

/// The figures of a cluster for a person: rates per kernel and size, of experts those of the
/// largest and the smallest hidden size; memory and links.
std::string cluster_table(const Cluster& cluster);

/// All numbers of a cluster as one JSON document, keys as in the cluster file.
std::string cluster_json(const Cluster& cluster);

}  // namespace hetmoe
