#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/random.h"
#include "core/data/encode_batch.h"
#include "core/data/token_shard_writer.h"

namespace hetmoe {

struct SplitSize {
  std::int64_t raw_bytes = 0;
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
};

struct SplitOptions {
  std::string train_prefix;
  std::string valid_prefix;
  double valid_fraction = 0;  ///< 0: no held-out shard
  std::uint64_t seed = 1;
  std::int64_t vocab_size = 0;
};

/// How far the two shards have come.
struct SplitReached {
  std::int64_t documents = 0;  ///< pieces of one count once
  SplitSize train;
  SplitSize valid;
};

/// Puts each document into one of two shards: held out or not is a hash of (seed, its number), for
/// all pieces of it. Errors: those of TokenShardWriter.
class SplitWriter {
 public:
  explicit SplitWriter(const SplitOptions& options);
  /// Goes on behind what another writer of the same options saved.
  SplitWriter(const SplitOptions& options, const SplitReached& saved);

  void append(const EncodedDocument& document);
  /// Everything appended reaches the disk and stays there when this object goes.
  void save();
  /// Both shards are whole, still under their temporary names. `sidecar` tells of the tokenizer;
  /// the rest of it is filled in here. Once.
  void seal(ShardSidecar sidecar);

  const SplitReached& reached() const { return reached_; }

 private:
  CounterRandom random_;
  double valid_fraction_;
  SplitReached reached_;
  TokenShardWriter train_;
  std::optional<TokenShardWriter> valid_;
};

/// Whether the files that save() left at least hold what `saved` says.
bool saved_split_is_there(const SplitOptions& options, const SplitReached& saved);

}  // namespace hetmoe
