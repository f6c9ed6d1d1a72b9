#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include "core/kernels/gpu/dispatch.h"
#include "tests/unit/gpu/device_array.h"

// Tokens, cuts of experts, and who goes where by plain loops.
namespace hetmoe::test {

using Integers = std::vector<std::int32_t>;

inline std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }
inline std::int32_t size_of(const Integers& values) {
  return static_cast<std::int32_t>(values.size());
}

struct Server {
  std::int32_t rank;
  std::int32_t slice;
  double share = 1;
};
/// [experts][runs][replicas]
using Cuts = std::vector<std::vector<std::vector<Server>>>;

constexpr std::int32_t kRanks = 4;

inline std::int64_t most_runs(const Cuts& cuts) {
  std::size_t most = 0;
  for (const auto& runs : cuts) most = std::max(most, runs.size());
  return static_cast<std::int64_t>(most);
}

/// Slices renumbered rank by rank, in order of expert and row.
inline Cuts numbered(Cuts cuts) {
  std::int32_t next = 0;
  for (std::int32_t rank = 0; rank < kRanks; ++rank) {
    for (auto& runs : cuts) {
      for (auto& run : runs) {
        for (Server& server : run) {
          if (server.rank == rank) server.slice = next++;
        }
      }
    }
  }
  return cuts;
}

/// Rank 2 holds nothing; expert 1 has two cuts on one rank, expert 2 lies on three.
inline Cuts cut() {
  return numbered({{{{3, 0}}},
                   {{{0, 0}}, {{1, 0}}, {{0, 0}}},
                   {{{0, 0}}, {{1, 0}}, {{3, 0}}},
                   {{{0, 0}}, {{3, 0}}},
                   {{{1, 0}}}});
}

inline Cuts replicated() {
  return numbered({{{{0, 0}}},
                   {{{0, 0, 0.25}, {1, 0, 0.5}, {3, 0, 0.25}}, {{1, 0}}},
                   {{{0, 0, 0.7}, {3, 0, 0.3}}},
                   {{{3, 0}}}});
}

struct Selected {
  std::int64_t tokens = 0;
  std::int64_t most = 0;
  Integers offset = {0}, expert;
  std::vector<float> gate;
};

/// Each token selects from none to `most` of the experts, each number in turn.
inline Selected select(std::int64_t tokens, std::int64_t experts, std::int64_t most) {
  std::mt19937 random(3);
  Selected selected{.tokens = tokens, .most = most};
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::set<std::int32_t> chosen;
    while (static_cast<std::int64_t>(chosen.size()) < (t + 1) % (most + 1)) {
      chosen.insert(static_cast<std::int32_t>(random() % static_cast<unsigned>(experts)));
    }
    for (const std::int32_t e : chosen) {
      selected.expert.push_back(e);
      selected.gate.push_back(static_cast<float>(random() % 1000) / 1000);
    }
    selected.offset.push_back(size_of(selected.expert));
  }
  return selected;
}

struct Case {
  Selected selected;
  Cuts cuts;
  std::int64_t tokens_per_part = 0;
};

inline std::int32_t slices_of(const Cuts& cuts) {
  std::int32_t slices = 0;
  for (const auto& runs : cuts) {
    for (const auto& run : runs) slices += static_cast<std::int32_t>(run.size());
  }
  return slices;
}

/// A pair as the plain loops below find it; `index` as the header numbers it.
struct Pair {
  std::int64_t token;
  std::int64_t index;
  std::int32_t selection, rank, slice;
};

/// Replicas: the number of the selection among those of its expert decides.
inline const Server& server_of(const std::vector<Server>& run, std::int64_t number,
                               std::int64_t count) {
  double share_end = 0;
  for (const Server& server : run) {
    share_end += server.share;
    if (static_cast<double>(number) + 0.5 < share_end * static_cast<double>(count)) return server;
  }
  return run.back();
}

inline std::vector<Pair> pairs_on_host(const Case& c) {
  const Selected& selected = c.selected;
  const Cuts& cuts = c.cuts;
  std::vector<Pair> pairs;
  for (std::int64_t t = 0; t < selected.tokens; ++t) {
    const auto part = static_cast<std::int32_t>(c.tokens_per_part == 0 ? 0 : t / c.tokens_per_part);
    std::int64_t index = t * selected.most * most_runs(cuts);
    for (std::int32_t s = selected.offset[at(t)]; s < selected.offset[at(t + 1)]; ++s) {
      const std::int32_t e = selected.expert[at(s)];
      const auto begin = selected.expert.begin();
      for (const auto& run : cuts[at(e)]) {
        const Server& server = server_of(run, std::count(begin, begin + s, e),
                                         std::count(begin, selected.expert.end(), e));
        pairs.push_back(
            {t, index++, s, part * kRanks + server.rank, part * slices_of(cuts) + server.slice});
      }
    }
  }
  return pairs;
}

/// The pairs that bring a row to its rank: the first of their token there.
inline std::vector<Pair> first_pairs(const std::vector<Pair>& pairs) {
  std::vector<Pair> firsts;
  for (const Pair& pair : pairs) {
    if (std::none_of(firsts.begin(), firsts.end(), [&](const Pair& earlier) {
          return earlier.token == pair.token && earlier.rank == pair.rank;
        })) {
      firsts.push_back(pair);
    }
  }
  return firsts;
}

template <typename Key>
inline std::vector<Pair> sorted_by(std::vector<Pair> pairs, Key key) {
  std::stable_sort(pairs.begin(), pairs.end(),
                   [&](const Pair& a, const Pair& b) { return a.*key < b.*key; });
  return pairs;
}

inline Integers positions_of(const std::vector<Pair>& sorted, std::int64_t room) {
  Integers position(at(room), -1);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    position[at(sorted[i].index)] = static_cast<std::int32_t>(i);
  }
  return position;
}

/// A case on the device, with what bucket_sort would have made of it.
struct OnDevice {
  explicit OnDevice(const Case& c) : OnDevice(c.selected, c.cuts) {
    parts = {c.tokens_per_part, slices_of(c.cuts), kRanks};
  }
  OnDevice(const Selected& selected, const Cuts& cuts)
      : tokens(selected.tokens),
        pairs_per_token(selected.most * most_runs(cuts)),
        offset(selected.offset),
        expert(selected.expert),
        gate(selected.gate),
        slice(room()),
        selection(room()),
        row_rank(room()),
        first(room()) {
    Integers begins = {0}, server_begins = {0}, ranks, slices;
    std::vector<double> share_ends;
    for (const auto& runs : cuts) {
      for (const auto& run : runs) {
        double shares = 0;
        for (const Server& server : run) {
          ranks.push_back(server.rank);
          slices.push_back(server.slice);
          share_ends.push_back(shares += server.share);
        }
        server_begins.push_back(size_of(ranks));
      }
      begins.push_back(size_of(server_begins) - 1);
    }
    begin = DeviceArray<std::int32_t>(begins);
    server_begin = DeviceArray<std::int32_t>(server_begins);
    rank = DeviceArray<std::int32_t>(ranks);
    server_slice = DeviceArray<std::int32_t>(slices);
    share_end = DeviceArray<double>(share_ends);
    sort_selections(selected, static_cast<std::int32_t>(cuts.size()));
  }

  std::size_t room() const { return at(tokens * pairs_per_token); }
  gpu::Selections selections() const {
    return {.tokens = tokens, .offset = offset.get(), .expert = expert.get(), .gate = gate.get()};
  }
  gpu::TokenPairs pairs() const {
    return {.pairs_per_token = pairs_per_token,
            .slice = slice.get(),
            .selection = selection.get(),
            .row_rank = row_rank.get(),
            .first = first.get()};
  }
  void list() const {
    gpu::list_pairs(selections(),
                    {.begin = begin.get(),
                     .server_begin = server_begin.get(),
                     .rank = rank.get(),
                     .slice = server_slice.get(),
                     .share_end = share_end.get()},
                    {.position = expert_position.get(), .begin = expert_begin.get()}, parts,
                    pairs(), nullptr);
  }

  std::int64_t tokens, pairs_per_token;
  gpu::TokenParts parts;
  DeviceArray<std::int32_t> offset, expert;
  DeviceArray<float> gate;
  DeviceArray<std::int32_t> begin{0}, server_begin{0}, rank{0}, server_slice{0};
  DeviceArray<double> share_end{0};
  DeviceArray<std::int32_t> expert_position{0}, expert_begin{0};
  DeviceArray<std::int32_t> slice, selection, row_rank, first;

 private:
  void sort_selections(const Selected& selected, std::int32_t experts) {
    Integers position(selected.expert.size()), begins;
    std::int32_t next = 0;
    for (std::int32_t e = 0; e < experts; ++e) {
      begins.push_back(next);
      for (std::size_t s = 0; s < position.size(); ++s) {
        if (selected.expert[s] == e) position[s] = next++;
      }
    }
    begins.push_back(next);
    expert_position = DeviceArray<std::int32_t>(position);
    expert_begin = DeviceArray<std::int32_t>(begins);
  }
};

/// One token, a warp's edge, more than a block; no token; few and all experts selected.
inline std::vector<Case> cases() {
  std::vector<Case> cases;
  for (const std::int64_t tokens : {0, 1, 2, 31, 33, 300}) {
    for (const std::int64_t most : {1, 3}) {
      cases.push_back({select(tokens, 5, most), cut()});
      cases.push_back({select(tokens, 4, most), replicated()});
    }
  }
  cases.push_back({select(40, 5, 5), cut()});
  for (const std::int64_t tokens_per_part : {1, 17, 40}) {
    cases.push_back({select(40, 5, 3), cut(), tokens_per_part});
    cases.push_back({select(40, 4, 3), replicated(), tokens_per_part});
  }
  return cases;
}

}  // namespace hetmoe::test
