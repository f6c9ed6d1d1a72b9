#pragma once

#include <memory>

#include "core/data/batch_reader.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// What a run reads.
struct TrainingData {
  std::unique_ptr<BatchReader> train;
  std::unique_ptr<BatchReader> valid;  ///< null: no held-out text is named
  double valid_bytes_per_token = 0;    ///< 0: unknown
  double valid_unigram_entropy = 0;    ///< nats per token; 0: unknown
};

/// Opens and checks the shards that the configuration names. `count_unigrams` reads the held-out
/// text once (rank 0 shows its entropy at the end). Errors: StorageError, ConfigError.
TrainingData open_training_data(const RunConfig& config, bool count_unigrams);

}  // namespace hetmoe
