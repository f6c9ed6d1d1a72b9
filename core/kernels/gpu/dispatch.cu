#include "core/kernels/gpu/dispatch.h"

#include <kernel_language.h>

namespace hetmoe::gpu {
namespace {

// A token is one thread's: its few pairs depend on each other.
constexpr unsigned kThreads = 128;

Grid grid_of(std::int64_t items) {
  return {.blocks_x = static_cast<unsigned>((items + kThreads - 1) / kThreads),
          .threads = kThreads};
}

__device__ std::int64_t own_item() {
  return static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

/// The first pair of the token, among [begin, end), that goes to the rank; `end` if none does.
__device__ std::int32_t first_at(const std::int32_t* row_rank, std::int64_t begin, std::int64_t end,
                                 std::int32_t rank) {
  for (std::int64_t pair = begin; pair < end; ++pair) {
    if (row_rank[pair] == rank) return static_cast<std::int32_t>(pair);
  }
  return static_cast<std::int32_t>(end);
}

__global__ void list_experts_kernel(Selections selections, std::int64_t room, std::int32_t* key) {
  const std::int64_t s = own_item();
  if (s >= room) return;
  key[s] = s < selections.offset[selections.tokens] ? selections.expert[s] : -1;
}

/// Which server of a run serves the selection.
__device__ std::int32_t chosen_server(const SliceServers& servers, const ExpertOrder& order,
                                      std::int32_t run, std::int32_t expert,
                                      std::int32_t selection) {
  std::int32_t server = servers.server_begin[run];
  const std::int32_t last = servers.server_begin[run + 1] - 1;
  if (server == last) return server;
  const double count = order.begin[expert + 1] - order.begin[expert];
  const double middle = order.position[selection] - order.begin[expert] + 0.5;
  while (server < last && middle >= servers.share_end[server] * count) ++server;
  return server;
}

__global__ void list_pairs_kernel(Selections selections, SliceServers servers, ExpertOrder order,
                                  TokenParts parts, TokenPairs pairs) {
  const std::int64_t token = own_item();
  if (token >= selections.tokens) return;
  const auto part =
      static_cast<std::int32_t>(parts.tokens_per_part > 0 ? token / parts.tokens_per_part : 0);
  const std::int64_t begin = token * pairs.pairs_per_token;
  std::int64_t pair = begin;
  for (std::int32_t s = selections.offset[token]; s < selections.offset[token + 1]; ++s) {
    const std::int32_t expert = selections.expert[s];
    for (std::int32_t run = servers.begin[expert]; run < servers.begin[expert + 1]; ++run, ++pair) {
      const std::int32_t i = chosen_server(servers, order, run, expert, s);
      const std::int32_t rank = part * parts.ranks + servers.rank[i];
      const std::int32_t first = first_at(pairs.row_rank, begin, pair, rank);
      pairs.slice[pair] = part * parts.slices + servers.slice[i];
      pairs.selection[pair] = s;
      pairs.first[pair] = first;
      pairs.row_rank[pair] = first == pair ? rank : -1;
    }
  }
  for (; pair < begin + pairs.pairs_per_token; ++pair) {
    pairs.slice[pair] = -1;
    pairs.row_rank[pair] = -1;
  }
}

/// How many of the token's rows lie before this one: rows lie in rank order.
__device__ std::int64_t rows_before(const TokenPairs& pairs, const std::int32_t* row_position,
                                    std::int64_t begin, std::int32_t position) {
  std::int64_t before = 0;
  for (std::int64_t pair = begin; pair < begin + pairs.pairs_per_token; ++pair) {
    if (pairs.row_rank[pair] >= 0 && row_position[pair] < position) ++before;
  }
  return before;
}

/// How many of the token's earlier pairs share the row of this one.
__device__ std::int32_t pairs_before(const TokenPairs& pairs, std::int64_t begin,
                                     std::int64_t pair) {
  std::int32_t before = 0;
  for (std::int64_t earlier = begin; earlier < pair; ++earlier) {
    if (pairs.first[earlier] == pairs.first[pair]) ++before;
  }
  return before;
}

__global__ void write_wire_kernel(Selections selections, TokenPairs pairs, SourceLists lists) {
  const std::int64_t token = own_item();
  if (token >= selections.tokens) return;
  const std::int64_t begin = token * pairs.pairs_per_token;
  std::int32_t* rows = lists.token_rows + token * lists.rows_per_token;
  std::int64_t count = 0;
  for (std::int64_t pair = begin; pair < begin + pairs.pairs_per_token; ++pair) {
    if (pairs.slice[pair] < 0) break;
    const std::int32_t first = pairs.first[pair];
    const std::int32_t position = lists.row_position[first];
    lists.wire[lists.pair_position[pair]] = {position - lists.row_begin[pairs.row_rank[first]],
                                             pairs_before(pairs, begin, pair),
                                             selections.gate[pairs.selection[pair]]};
    if (first != pair) continue;
    lists.row_token[position] = static_cast<std::int32_t>(token);
    rows[rows_before(pairs, lists.row_position, begin, position)] = position;
    ++count;
  }
  for (; count < lists.rows_per_token; ++count) rows[count] = -1;
}

/// The block that holds element i: the last one that begins at or before it and is not empty.
__device__ std::int64_t block_of(const std::int32_t* begin, std::int64_t blocks, std::int64_t i) {
  std::int64_t low = 0;
  std::int64_t high = blocks;
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (begin[middle] <= i ? low : high) = middle;
  }
  return low;
}

__global__ void place_received_kernel(const PairOnWire* wire, ReceivedLists lists) {
  const std::int64_t i = own_item();
  if (i >= lists.pairs) return;
  const std::int64_t block = block_of(lists.pair_begin, lists.sources * lists.slices, i);
  const auto place =
      static_cast<std::int32_t>(lists.place_begin[block] + i - lists.pair_begin[block]);
  const PairOnWire pair = wire[i];
  const std::int32_t row = lists.row_begin[block / lists.slices] + pair.row;
  lists.place[i] = place;
  lists.row[place] = row;
  lists.gate[place] = pair.gate;
  lists.places[row * lists.pairs_per_row + pair.place] = place;
}

__global__ void place_local_kernel(Selections selections, TokenPairs pairs, LocalLists lists) {
  const std::int64_t token = own_item();
  if (token >= selections.tokens) return;
  for (std::int64_t i = 0; i < pairs.pairs_per_token; ++i) {
    const std::int64_t pair = token * pairs.pairs_per_token + i;
    const bool is_there = pairs.slice[pair] >= 0;
    const std::int32_t place = is_there ? lists.pair_position[pair] : -1;
    lists.places[pair] = place;
    if (!is_there) continue;
    lists.row[place] = static_cast<std::int32_t>(token);
    lists.gate[place] = selections.gate[pairs.selection[pair]];
  }
}

__global__ void sum_gate_gradients_kernel(Selections selections, TokenPairs pairs,
                                          const std::int32_t* pair_position,
                                          const float* dgate_of_pair, float* dgate) {
  const std::int64_t token = own_item();
  if (token >= selections.tokens) return;
  std::int64_t pair = token * pairs.pairs_per_token;
  for (std::int32_t s = selections.offset[token]; s < selections.offset[token + 1]; ++s) {
    float sum = 0;
    const std::int64_t end = (token + 1) * pairs.pairs_per_token;
    for (; pair < end && pairs.slice[pair] >= 0 && pairs.selection[pair] == s; ++pair) {
      sum += dgate_of_pair[pair_position[pair]];
    }
    dgate[s] = sum;
  }
}

}  // namespace

void list_experts(const Selections& selections, std::int64_t room, std::int32_t* key,
                  Stream stream) {
  if (room == 0) return;
  launch("list_experts", grid_of(room), stream, &list_experts_kernel, selections, room, key);
}

void list_pairs(const Selections& selections, const SliceServers& servers, const ExpertOrder& order,
                const TokenParts& parts, const TokenPairs& pairs, Stream stream) {
  if (selections.tokens == 0) return;
  launch("list_pairs", grid_of(selections.tokens), stream, &list_pairs_kernel, selections, servers,
         order, parts, pairs);
}

void write_wire(const Selections& selections, const TokenPairs& pairs, const SourceLists& lists,
                Stream stream) {
  if (selections.tokens == 0) return;
  launch("write_wire", grid_of(selections.tokens), stream, &write_wire_kernel, selections, pairs,
         lists);
}

void place_received(const PairOnWire* wire, const ReceivedLists& lists, Stream stream) {
  if (lists.pairs == 0) return;
  launch("place_received", grid_of(lists.pairs), stream, &place_received_kernel, wire, lists);
}

void place_local(const Selections& selections, const TokenPairs& pairs, const LocalLists& lists,
                 Stream stream) {
  if (selections.tokens == 0) return;
  launch("place_local", grid_of(selections.tokens), stream, &place_local_kernel, selections, pairs,
         lists);
}

void sum_gate_gradients(const Selections& selections, const TokenPairs& pairs,
                        const std::int32_t* pair_position, const float* dgate_of_pair, float* dgate,
                        Stream stream) {
  if (selections.tokens == 0) return;
  launch("sum_gate_gradients", grid_of(selections.tokens), stream, &sum_gate_gradients_kernel,
         selections, pairs, pair_position, dgate_of_pair, dgate);
}

}  // namespace hetmoe::gpu
