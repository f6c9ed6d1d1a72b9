#include "parallel/dispatch/dispatch_pattern.h"

#include <numeric>

namespace hetmoe {
namespace {

/// Calls body(token, selection, rank, is_first_of_row) for every (selection, destination).
template <typename Body>
void for_each_destination(const Routing& routing,
                          const std::vector<std::vector<std::int32_t>>& ranks_of_expert,
                          int num_ranks, Body body) {
  std::vector<std::int64_t> last_token(num_ranks, -1);
  for (std::int64_t token = 0; token < routing.tokens(); ++token) {
    for (std::int64_t s = routing.offset[token]; s < routing.offset[token + 1]; ++s) {
      for (std::int32_t rank : ranks_of_expert[routing.expert[s]]) {
        body(token, s, rank, last_token[rank] != token);
        last_token[rank] = token;
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

DispatchPattern make_dispatch_pattern(const Routing& routing,
                                      const std::vector<std::vector<std::int32_t>>& ranks_of_expert,
                                      int num_ranks) {
  DispatchPattern pattern;
  pattern.rows_to_rank.assign(num_ranks, 0);
  pattern.selections_to_rank.assign(num_ranks, 0);
  for_each_destination(routing, ranks_of_expert, num_ranks,
                       [&](std::int64_t, std::int64_t, std::int32_t rank, bool first) {
                         pattern.rows_to_rank[rank] += first ? 1 : 0;
                         pattern.selections_to_rank[rank] += 1;
                       });
  const auto row_begin = begins(pattern.rows_to_rank);
  auto next_row = row_begin;
  auto next_selection = begins(pattern.selections_to_rank);
  pattern.token.resize(std::reduce(pattern.rows_to_rank.begin(), pattern.rows_to_rank.end()));
  pattern.selection.resize(
      std::reduce(pattern.selections_to_rank.begin(), pattern.selections_to_rank.end()));
  pattern.wire.resize(pattern.selection.size());
  for_each_destination(routing, ranks_of_expert, num_ranks,
                       [&](std::int64_t token, std::int64_t s, std::int32_t rank, bool first) {
                         if (first) pattern.token[next_row[rank]++] = token;
                         const std::int64_t at = next_selection[rank]++;
                         pattern.selection[at] = s;
                         pattern.wire[at] = {
                             static_cast<std::int32_t>(next_row[rank] - 1 - row_begin[rank]),
                             routing.expert[s], routing.gate[s]};
                       });
  return pattern;
}

}  // namespace hetmoe
