#include "parallel/dispatch/dispatch_pattern.h"

#include <numeric>

namespace hetmoe {
namespace {

/// Calls body(token, selection, server, is_first_of_row) for every slice that a selection concerns.
template <typename Body>
void for_each_destination(const Routing& routing, const LayerServers& servers,
                          const ReplicaChoice& choice, int num_ranks, Body body) {
  std::vector<std::int64_t> last_token(num_ranks, -1);
  for (std::int64_t token = 0; token < routing.tokens(); ++token) {
    for (std::int64_t s = routing.offset[token]; s < routing.offset[token + 1]; ++s) {
      const std::int32_t expert = routing.expert[s];
      for (std::size_t range = 0; range < servers.of_expert[expert].size(); ++range) {
        const SliceServer& server = choice.server(s, expert, range);
        body(token, s, server, last_token[server.rank] != token);
        last_token[server.rank] = token;
      }
    }
  }
}

std::vector<std::int64_t> begins(const std::vector<std::int64_t>& counts) {
  std::vector<std::int64_t> begin(counts.size(), 0);
  std::exclusive_scan(counts.begin(), counts.end(), begin.begin(), std::int64_t{0});
  return begin;
}

}  // namespace

DispatchPattern make_dispatch_pattern(const Routing& routing, const LayerServers& servers,
                                      int num_ranks) {
  DispatchPattern pattern;
  const ReplicaChoice choice(routing, servers);
  pattern.rows_to_rank.assign(num_ranks, 0);
  pattern.selections_to_rank.assign(num_ranks, 0);
  for_each_destination(routing, servers, choice, num_ranks,
                       [&](std::int64_t, std::int64_t, const SliceServer& server, bool first) {
                         pattern.rows_to_rank[server.rank] += first ? 1 : 0;
                         pattern.selections_to_rank[server.rank] += 1;
                       });
  const auto row_begin = begins(pattern.rows_to_rank);
  auto next_row = row_begin;
  auto next_selection = begins(pattern.selections_to_rank);
  pattern.token.resize(std::reduce(pattern.rows_to_rank.begin(), pattern.rows_to_rank.end()));
  pattern.selection.resize(
      std::reduce(pattern.selections_to_rank.begin(), pattern.selections_to_rank.end()));
  pattern.wire.resize(pattern.selection.size());
  for_each_destination(
      routing, servers, choice, num_ranks,
      [&](std::int64_t token, std::int64_t s, const SliceServer& server, bool first) {
        const std::int32_t rank = server.rank;
        if (first) pattern.token[next_row[rank]++] = token;
        const std::int64_t at = next_selection[rank]++;
        pattern.selection[at] = s;
        pattern.wire[at] = {static_cast<std::int32_t>(next_row[rank] - 1 - row_begin[rank]),
                            server.slice, routing.gate[s]};
      });
  return pattern;
}

}  // namespace hetmoe
