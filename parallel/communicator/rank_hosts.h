#pragma once

#include <vector>

#include "parallel/communicator/communicator.h"

namespace hetmoe {

/// The host of every rank, as an index in the order in which hosts first appear: [0, 0, 1, 1] for
/// four ranks on two hosts. Hosts are told apart by name. Collective. Blocking.
std::vector<int> hosts_of_ranks(Communicator& group);

}  // namespace hetmoe
