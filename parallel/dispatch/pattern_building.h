#pragma once

// Private to this folder.

#include <numeric>

#include "parallel/dispatch/dispatch_pattern.h"

namespace hetmoe {

/// Calls body(token, selection, server) for every slice that a selection concerns, by token.
template <typename Body>
void for_each_server(const Routing& routing, const LayerServers& servers,
                     const ReplicaChoice& choice, Body body) {
  for (std::int64_t token = 0; token < routing.tokens(); ++token) {
    for (std::int64_t s = routing.offset[token]; s < routing.offset[token + 1]; ++s) {
      const std::int32_t expert = routing.expert[s];
      for (std::size_t range = 0; range < servers.of_expert[expert].size(); ++range) {
        body(token, s, choice.server(s, expert, range));
      }
    }
  }
}

/// What is sent of one row to one rank.
struct SentSelection {
  std::int64_t row = 0;        ///< of what this rank has
  std::int64_t selection = 0;  ///< of what this rank has
  std::int32_t rank = 0;
  std::int32_t slice = 0;  ///< as the receiver reads it
  double gate = 0;
};

/// for_each(body) calls body(SentSelection) for all that is sent, rows ascending, the same every
/// time; a row goes once to each rank that it is sent to.
template <typename ForEach>
DispatchPattern build_pattern(int num_ranks, ForEach for_each) {
  DispatchPattern pattern;
  pattern.rows_to_rank.assign(num_ranks, 0);
  pattern.selections_to_rank.assign(num_ranks, 0);
  const auto for_each_with_first = [&](auto body) {
    std::vector<std::int64_t> last_row(num_ranks, -1);
    for_each([&](const SentSelection& sent) {
      body(sent, last_row[sent.rank] != sent.row);
      last_row[sent.rank] = sent.row;
    });
  };
  const auto begins = [](const std::vector<std::int64_t>& counts) {
    std::vector<std::int64_t> begin(counts.size(), 0);
    std::exclusive_scan(counts.begin(), counts.end(), begin.begin(), std::int64_t{0});
    return begin;
  };
  for_each_with_first([&](const SentSelection& sent, bool first) {
    pattern.rows_to_rank[sent.rank] += first ? 1 : 0;
    pattern.selections_to_rank[sent.rank] += 1;
  });
  const auto row_begin = begins(pattern.rows_to_rank);
  auto next_row = row_begin;
  auto next_selection = begins(pattern.selections_to_rank);
  pattern.token.resize(std::reduce(pattern.rows_to_rank.begin(), pattern.rows_to_rank.end()));
  pattern.selection.resize(
      std::reduce(pattern.selections_to_rank.begin(), pattern.selections_to_rank.end()));
  pattern.wire.resize(pattern.selection.size());
  for_each_with_first([&](const SentSelection& sent, bool first) {
    if (first) pattern.token[next_row[sent.rank]++] = sent.row;
    const std::int64_t at = next_selection[sent.rank]++;
    pattern.selection[at] = sent.selection;
    pattern.wire[at] = {static_cast<std::int32_t>(next_row[sent.rank] - 1 - row_begin[sent.rank]),
                        sent.slice, sent.gate};
  });
  return pattern;
}

}  // namespace hetmoe
