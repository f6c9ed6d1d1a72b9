#pragma once

// Private to this folder: the ways in which a dispatcher's tokens travel.

#include <memory>

#include "core/model/token_dispatcher.h"
#include "parallel/dispatch/slice_servers.h"
#include "parallel/dispatch/traffic.h"

namespace hetmoe {

/// Straight to every rank. What is received lies by source rank and then by token; sums are in rank
/// order. Collective. `traffic` must outlive it.
std::unique_ptr<TokenExchange> start_one_hop(Traffic& traffic, const LayerServers& servers,
                                             const at::Tensor& x, const Routing& routing);

/// To ranks of other nodes by way of one rank there (RankNodes::relay), which hands on, and sums
/// what comes back. What is received lies by the rank that it came from last: first the tokens of
/// this node's ranks, then those of other nodes, by who handed them on, source rank and token. Sums
/// are in rank order on each node, then those of this node's ranks before those of other nodes.
/// Collective. `traffic`, whose nodes have two levels, must outlive it.
std::unique_ptr<TokenExchange> start_two_hops(Traffic& traffic, const LayerServers& servers,
                                              const at::Tensor& x, const Routing& routing);

}  // namespace hetmoe
