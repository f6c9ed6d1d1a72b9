#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/data/batch_reader.h"
#include "core/data/token_source.h"
#include "core/data/window_sampler.h"

namespace hetmoe {

struct ShardReaderOptions {
  std::uint64_t seed = 0;
  std::int64_t sequence_length = 0;
  std::int64_t global_batch = 0;
  std::int64_t vocab_size = 0;             ///< of the model; larger token ids are refused
  bool attention_across_documents = true;  ///< false: document_begin marks the documents
};

/// Reads windows of a source in the order of a WindowSampler.
/// Owns: a share of the source, so that training and evaluation may use one mapping.
/// Errors: ConfigError when the source is too short for one window, or its sidecar's vocabulary is
/// larger than vocab_size.
class ShardBatchReader final : public BatchReader {
 public:
  ShardBatchReader(std::shared_ptr<const TokenSource> source, const ShardReaderOptions& options);

  void read(std::int64_t step, std::span<const std::int64_t> indices_in_global_batch,
            Batch& out) override;
  void read_sequential(std::int64_t first_window, std::int64_t count, Batch& out) override;
  std::int64_t num_windows() const override { return sampler_.num_windows(); }

  /// Fills one row of a batch that has its sizes with the sample-th sequence (from 0) of all that
  /// this source ever gives.
  void read_sample(std::int64_t sample, std::int64_t row, Batch& out);

  /// The same with a window in corpus order.
  void read_window(std::int64_t window, std::int64_t row, Batch& out);

 private:
  void fill(std::int64_t row, std::int64_t token_begin, Batch& out);
  void mark_documents(std::int64_t row, std::int64_t token_begin, Batch& out);

  std::shared_ptr<const TokenSource> source_;
  ShardReaderOptions options_;
  WindowSampler sampler_;
  std::vector<std::int32_t> window_;
  std::vector<std::int64_t> starts_;
};

}  // namespace hetmoe
