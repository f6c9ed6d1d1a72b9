#pragma once

#include <cstdint>

#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// Which tokens go where, worked out on the device (parallel/dispatch). A pair is one slice that a
/// token goes to. Every token has room for `pairs_per_token` of them; pair i of token t is
/// t * pairs_per_token + i, in order of expert and then of rows. All pointers are the device's.

/// Who computes the rows of every expert. An expert is cut into runs of rows; a token goes to one
/// server of each run. Slices of a layer are numbered rank by rank.
struct SliceServers {
  const std::int32_t* begin = nullptr;         ///< [experts + 1] in the runs
  const std::int32_t* server_begin = nullptr;  ///< [runs + 1] in those below; replicas: several
  const std::int32_t* rank = nullptr;          ///< that computes it
  const std::int32_t* slice = nullptr;         ///< its number
  const double* share_end = nullptr;           ///< shares of the run's servers up to this one
};

/// The selections of tokens (router.h).
struct Selections {
  std::int64_t tokens = 0;
  const std::int32_t* offset = nullptr;  ///< [tokens + 1]
  const std::int32_t* expert = nullptr;  ///< [selections]
  const float* gate = nullptr;           ///< [selections]
};

/// Selections sorted by expert (bucket_sort.h): needed where there are replicas, null elsewhere.
struct ExpertOrder {
  const std::int32_t* position = nullptr;  ///< [selections]
  const std::int32_t* begin = nullptr;     ///< [experts + 1]
};

/// The keys of that sort: key[s] = expert[s], -1 from the last selection up to `room`.
void list_experts(const Selections& selections, std::int64_t room, std::int32_t* key,
                  Stream stream);

/// Tokens may travel in parts, one computed while the next is under way. Part p holds the tokens
/// from p * tokens_per_part on; its slices are numbered from p * slices on, its ranks from p *
/// ranks on, so that what is sorted by slice or by rank is sorted by part first.
struct TokenParts {
  std::int64_t tokens_per_part = 0;  ///< 0: all in one
  std::int32_t slices = 0;
  std::int32_t ranks = 0;
};

/// [tokens * pairs_per_token] each; where a token has fewer pairs, slice is -1.
struct TokenPairs {
  std::int64_t pairs_per_token = 0;
  std::int32_t* slice = nullptr;
  std::int32_t* selection = nullptr;
  std::int32_t* row_rank = nullptr;  ///< the rank, for the first pair of a token there; others -1
  std::int32_t* first = nullptr;     ///< that first pair
};

/// Slices and ranks as TokenParts numbers them. Of n selections of an expert number p goes to the
/// first replica whose share_end * n is above p + 1/2: each gets its share to within one.
void list_pairs(const Selections& selections, const SliceServers& servers, const ExpertOrder& order,
                const TokenParts& parts, const TokenPairs& pairs, Stream stream);

/// A pair as it travels, sorted by slice and then by token.
struct PairOnWire {
  std::int32_t row = 0;    ///< among the rows that this source sends to this destination
  std::int32_t place = 0;  ///< among the pairs of this row there
  float gate = 0;
};
static_assert(sizeof(PairOnWire) == 12);

/// What a source makes of its sorted pairs (bucket_sort.h).
struct SourceLists {
  const std::int32_t* pair_position = nullptr;  ///< [pairs] by slice
  const std::int32_t* row_position = nullptr;   ///< [pairs] by rank; of first pairs
  const std::int32_t* row_begin = nullptr;      ///< [parts * ranks + 1] rows sent before
  std::int64_t rows_per_token = 0;
  PairOnWire* wire = nullptr;         ///< [pairs sent]
  std::int32_t* row_token = nullptr;  ///< [rows sent]
  std::int32_t* token_rows =
      nullptr;  ///< [tokens, rows_per_token] in rank order, -1 after the last
};
void write_wire(const Selections& selections, const TokenPairs& pairs, const SourceLists& lists,
                Stream stream);

/// What a destination makes of the pairs that came: by source, each source's by slice, then by
/// token. Places are sorted by slice, then by source.
struct ReceivedLists {
  std::int64_t pairs = 0;
  std::int64_t sources = 0;
  std::int64_t slices = 0;                    ///< here
  const std::int32_t* pair_begin = nullptr;   ///< [sources * slices + 1] of each source's slice
  const std::int32_t* place_begin = nullptr;  ///< [sources * slices]
  const std::int32_t* row_begin = nullptr;    ///< [sources]
  std::int64_t pairs_per_row = 0;
  std::int32_t* place = nullptr;   ///< [pairs] of each pair that came
  std::int32_t* row = nullptr;     ///< [places]
  float* gate = nullptr;           ///< [places]
  std::int32_t* places = nullptr;  ///< [rows, pairs_per_row] in order of slice; -1 before
};
void place_received(const PairOnWire* wire, const ReceivedLists& lists, Stream stream);

/// The same where source and destination are one rank and a row is a token: places are the pairs'
/// positions.
struct LocalLists {
  const std::int32_t* pair_position = nullptr;  ///< [pairs]
  std::int32_t* row = nullptr;                  ///< [places]
  float* gate = nullptr;                        ///< [places]
  std::int32_t* places = nullptr;               ///< [tokens, pairs_per_token], -1 after the last
};
void place_local(const Selections& selections, const TokenPairs& pairs, const LocalLists& lists,
                 Stream stream);

/// dgate[selection] = sum over its pairs of dgate_of_pair[pair_position], in order.
void sum_gate_gradients(const Selections& selections, const TokenPairs& pairs,
                        const std::int32_t* pair_position, const float* dgate_of_pair, float* dgate,
                        Stream stream);

}  // namespace hetmoe::gpu
