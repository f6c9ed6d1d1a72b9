#include "parallel/communicator/rank_hosts.h"

#include <unistd.h>

#include <array>
#include <map>

namespace hetmoe {

std::vector<int> hosts_of_ranks(Communicator& group) {
  using Name = std::array<char, 256>;
  std::vector<Name> names(static_cast<std::size_t>(group.size()), Name{});
  Name& own = names[static_cast<std::size_t>(group.rank())];
  gethostname(own.data(), own.size() - 1);
  const std::vector<std::int64_t> counts(names.size(), sizeof(Name));
  group
      .all_gather_v(
          {names.data(), static_cast<std::int64_t>(names.size() * sizeof(Name)), DataType::kByte},
          counts)
      .wait();
  std::map<Name, int> index;
  std::vector<int> hosts;
  for (const Name& name : names) {
    hosts.push_back(index.try_emplace(name, static_cast<int>(index.size())).first->second);
  }
  return hosts;
}

}  // namespace hetmoe
