#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/data/mixture_schedule.h"
#include "core/data/shard_batch_reader.h"

namespace hetmoe {

struct WeightedSource {
  std::shared_ptr<const TokenSource> source;
  double weight = 0;  ///< share of the sequences, relative to the others'
};

/// Reads several sources, their sequences mixed by weight (MixtureSchedule over the sequences of
/// the whole run). Each source gives the windows, in the order, that it would give if it were the
/// only one. Owns a share of each source.
/// Errors: as ShardBatchReader; ConfigError where tokenizers of sources differ.
class MixtureBatchReader final : public BatchReader {
 public:
  MixtureBatchReader(std::span<const WeightedSource> sources, const ShardReaderOptions& options);

  void read(std::int64_t step, std::span<const std::int64_t> indices_in_global_batch,
            Batch& out) override;
  /// The first source's windows, then the second's, ...: weights count in training only.
  void read_sequential(std::int64_t first_window, std::int64_t count, Batch& out) override;
  std::int64_t num_windows() const override { return first_windows_.back(); }

 private:
  MixtureSchedule schedule_;
  ShardReaderOptions options_;
  std::vector<ShardBatchReader> readers_;
  std::vector<std::int64_t> first_windows_;  ///< of each source, and the end
};

}  // namespace hetmoe
