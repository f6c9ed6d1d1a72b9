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

/// Whether a token goes to a rank whatever the replicas' choice.
bool goes_anyhow(const Routing& routing, const LayerServers& servers, std::int64_t token,
                 std::int32_t rank) {
  for (std::int64_t s = routing.offset[token]; s < routing.offset[token + 1]; ++s) {
    for (const RangeServers& range : servers.of_expert[routing.expert[s]]) {
      if (range.size() == 1 && range[0].rank == rank) return true;
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

ReplicaChoice::ReplicaChoice(const Routing& routing, const LayerServers& servers)
    : servers_(servers) {
  if (!servers.has_replicas) return;
  std::vector<std::vector<std::int64_t>> selections(servers.of_expert.size());
  std::vector<std::int64_t> token_of_selection;
  for (std::int64_t token = 0; token < routing.tokens(); ++token) {
    for (std::int64_t s = routing.offset[token]; s < routing.offset[token + 1]; ++s) {
      first_choice_.push_back(chosen_.size());
      chosen_.resize(chosen_.size() + servers.of_expert[routing.expert[s]].size(), 0);
      selections[routing.expert[s]].push_back(s);
      token_of_selection.push_back(token);
    }
  }
  for (std::size_t expert = 0; expert < servers.of_expert.size(); ++expert) {
    for (std::size_t range = 0; range < servers.of_expert[expert].size(); ++range) {
      if (servers.of_expert[expert][range].size() == 1) continue;
      choose(routing, static_cast<std::int32_t>(expert), range, selections[expert],
             token_of_selection);
    }
  }
}

void ReplicaChoice::choose(const Routing& routing, std::int32_t expert, std::size_t range,
                           const std::vector<std::int64_t>& selections,
                           const std::vector<std::int64_t>& token_of_selection) {
  const RangeServers& servers = servers_.of_expert[expert][range];
  std::vector<std::int64_t> left = quotas(static_cast<std::int64_t>(selections.size()), servers);
  std::vector<std::int64_t> waiting;
  for (const std::int64_t s : selections) {
    std::size_t i = 0;
    while (
        i < servers.size() &&
        (left[i] == 0 || !goes_anyhow(routing, servers_, token_of_selection[s], servers[i].rank))) {
      ++i;
    }
    if (i == servers.size()) {
      waiting.push_back(s);
      continue;
    }
    --left[i];
    chosen_[first_choice_[s] + range] = static_cast<std::uint32_t>(i);
  }
  std::size_t i = 0;
  for (const std::int64_t s : waiting) {
    while (left[i] == 0) ++i;
    --left[i];
    chosen_[first_choice_[s] + range] = static_cast<std::uint32_t>(i);
  }
}

}  // namespace hetmoe
