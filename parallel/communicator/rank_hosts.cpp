#include "parallel/communicator/rank_hosts.h"

#include <algorithm>
#include <array>
#include <map>

#include "core/base/host_name.h"

namespace hetmoe {

std::vector<int> hosts_of_ranks(Communicator& group) {
  using Name = std::array<char, 256>;
  std::vector<Name> names(static_cast<std::size_t>(group.size()), Name{});
  Name& own = names[static_cast<std::size_t>(group.rank())];
  const std::string name = host_name();
  std::copy_n(name.data(), std::min(name.size(), own.size() - 1), own.data());
  const std::vector<std::int64_t> counts(names.size(), sizeof(Name));
  group
      .all_gather_v(
          {names.data(), static_cast<std::int64_t>(names.size() * sizeof(Name)), DataType::kByte},
          counts)
      .wait();
  std::map<Name, int> index;
  std::vector<int> hosts;
  for (const Name& host : names) {
    hosts.push_back(index.try_emplace(host, static_cast<int>(index.size())).first->second);
  }
  return hosts;
}

}  // namespace hetmoe
