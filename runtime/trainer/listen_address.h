#pragma once

#include <string>
#include <vector>

namespace hetmoe {

/// Where something of a run listens for others: what is configured; without that on loopback, in a
/// Slurm job or on several hosts on all addresses. `hosts`: of the ranks, as hosts_of_ranks gives.
std::string listen_address(const std::string& configured, const std::vector<int>& hosts);

}  // namespace hetmoe
