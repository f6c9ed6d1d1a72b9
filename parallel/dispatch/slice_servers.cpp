#include "parallel/dispatch/slice_servers.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>

#include "parallel/placement/held_slices.h"

namespace hetmoe {
namespace {

/// How many of `count` tokens each replica serves: shares by largest remainder, ties to the lower
/// rank.
std::vector<std::int64_t> quotas(std::int64_t count, const RangeServers& servers) {
  std::vector<std::int64_t> quota;
  std::vector<std::pair<double, std::size_t>> remainder;
  std::int64_t left = count;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const double exact = static_cast<double>(count) * servers[i].share;
    quota.push_back(static_cast<std::int64_t>(std::floor(exact)));
    remainder.emplace_back(std::floor(exact) - exact, i);
    left -= quota.back();
  }
  std::sort(remainder.begin(), remainder.end());
  for (std::size_t i = 0; left > 0; i = (i + 1) % remainder.size(), --left) {
    ++quota[remainder[i].second];
  }
  return quota;
}

/// Whether a token goes to a place whatever the replicas' choice: is_there(rank).
template <typename IsThere>
bool goes_anyhow(const Routing& routing, const LayerServers& servers, std::int64_t token,
                 IsThere is_there) {
  for (std::int64_t s = routing.offset[token]; s < routing.offset[token + 1]; ++s) {
    for (const RangeServers& range : servers.of_expert[routing.expert[s]]) {
      if (std::ranges::all_of(range, is_there, &SliceServer::rank)) return true;
    }
  }
  return false;
}

}  // namespace

LayerServers servers_of(const LayerPlacement& placement, int num_ranks) {
  std::map<std::tuple<int, std::int64_t>, RangeServers> ranges;  // by (expert, begin)
  for (int rank = 0; rank < num_ranks; ++rank) {
    const std::vector<HeldSlice> held = held_slices(placement, 0, rank);
    for (std::size_t i = 0; i < held.size(); ++i) {
      ranges[{held[i].slice.expert, held[i].slice.begin}].push_back(
          {.rank = rank, .slice = static_cast<std::int32_t>(i), .share = held[i].share});
    }
  }
  LayerServers servers;
  for (auto& [key, list] : ranges) {
    const auto expert = static_cast<std::size_t>(std::get<0>(key));
    if (expert >= servers.of_expert.size()) servers.of_expert.resize(expert + 1);
    servers.has_replicas = servers.has_replicas || list.size() > 1;
    servers.of_expert[expert].push_back(std::move(list));
  }
  return servers;
}

ReplicaChoice::ReplicaChoice(const Routing& routing, const LayerServers& servers,
                             const RankNodes& nodes, int rank)
    : servers_(servers) {
  if (!servers.has_replicas) return;
  std::vector<std::vector<std::int64_t>> selections(servers.of_expert.size());
  for (std::int64_t token = 0; token < routing.tokens(); ++token) {
    for (std::int64_t s = routing.offset[token]; s < routing.offset[token + 1]; ++s) {
      first_choice_.push_back(chosen_.size());
      chosen_.resize(chosen_.size() + servers.of_expert[routing.expert[s]].size(), 0);
      selections[routing.expert[s]].push_back(s);
      token_of_.push_back(token);
    }
  }
  const auto goes_there = [&](std::int64_t token, int there) {
    return goes_anyhow(routing, servers, token, [&](int other) { return other == there; });
  };
  const auto goes_to_its_node = [&](std::int64_t token, int there) {
    const auto is_near = [&](int other) { return !nodes.are_apart(other, there); };
    return is_near(rank) || goes_anyhow(routing, servers, token, is_near);
  };
  const auto takes_any = [](std::int64_t, int) { return true; };
  for (std::size_t expert = 0; expert < servers.of_expert.size(); ++expert) {
    for (std::size_t range = 0; range < servers.of_expert[expert].size(); ++range) {
      const RangeServers& replicas = servers.of_expert[expert][range];
      if (replicas.size() == 1) continue;
      std::vector<std::int64_t> waiting = selections[expert];
      std::vector<std::int64_t> left = quotas(static_cast<std::int64_t>(waiting.size()), replicas);
      choose(replicas, range, goes_there, left, waiting);
      if (nodes.has_two_levels()) choose(replicas, range, goes_to_its_node, left, waiting);
      choose(replicas, range, takes_any, left, waiting);
    }
  }
}

template <typename Likes>
void ReplicaChoice::choose(const RangeServers& servers, std::size_t range, Likes likes,
                           std::vector<std::int64_t>& left, std::vector<std::int64_t>& waiting) {
  std::vector<std::int64_t> still_waiting;
  for (const std::int64_t s : waiting) {
    std::size_t i = 0;
    while (i < servers.size() && (left[i] == 0 || !likes(token_of_[s], servers[i].rank))) ++i;
    if (i == servers.size()) {
      still_waiting.push_back(s);
      continue;
    }
    --left[i];
    chosen_[first_choice_[s] + range] = static_cast<std::uint32_t>(i);
  }
  waiting = std::move(still_waiting);
}

}  // namespace hetmoe
