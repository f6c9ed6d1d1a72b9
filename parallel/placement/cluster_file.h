#pragma once

#include <string>

#include "core/config/tree.h"
#include "parallel/placement/cluster.h"

namespace hetmoe {

/// Reads a cluster file (YAML, every key of `Cluster::fields` once; comments are free).
/// Errors: one ConfigError with every fault, a line each, that names file, line, key, value and
/// what is allowed; a file that cannot be read or is not YAML is one as well.
Cluster read_cluster_file(const std::string& path);

/// The same from a tree that came from elsewhere, such as the planner problem's `cluster`.
Cluster read_cluster(const ConfigNode& tree);

/// The cluster as YAML. `read_cluster_file` gives the same numbers, bit for bit.
std::string write_cluster(const Cluster& cluster);

}  // namespace hetmoe
