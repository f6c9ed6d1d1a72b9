#pragma once

#include <memory>
#include <vector>

#include "core/data/batch_reader.h"
#include "parallel/communicator/communicator.h"
#include "runtime/report/summary.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// What a run reads.
struct TrainingData {
  std::unique_ptr<BatchReader> train;
  std::vector<DataSourceRow> sources;  ///< of train, in the order configured; random: none
  std::unique_ptr<BatchReader> valid;  ///< null: no held-out text is named
  double valid_bytes_per_token = 0;    ///< 0: unknown
  double valid_unigram_entropy = 0;    ///< nats per token; 0: unknown
};

/// Opens and checks the shards that the configuration names. `count_unigrams` reads the held-out
/// text once (rank 0 shows its entropy at the end). Errors: StorageError, ConfigError.
TrainingData open_training_data(const RunConfig& config, bool count_unigrams);

/// The same on every rank; only rank 0 counts unigrams. On node-local folders the views of ranks
/// may differ, and ranks that count different windows would wait for one another for ever.
/// Collective. Errors: AgreedError, also when a rank sees a source of another length than rank 0.
TrainingData open_shared_training_data(const RunConfig& config, Communicator& control,
                                       bool count_unigrams);

}  // namespace hetmoe
