#include "runtime/trainer/listen_address.h"

#include <algorithm>
#include <cstdlib>

namespace hetmoe {

std::string listen_address(const std::string& configured, const std::vector<int>& hosts) {
  if (!configured.empty()) return configured;
  const bool one_host = std::ranges::all_of(hosts, [](int host) { return host == 0; });
  return one_host && std::getenv("SLURM_JOB_ID") == nullptr ? "127.0.0.1:0" : "0.0.0.0:0";
}

}  // namespace hetmoe
