#include "runtime/trainer/training_data.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "core/base/error.h"
#include "core/data/inspect.h"
#include "core/data/random_batch_reader.h"
#include "core/data/shard_batch_reader.h"
#include "core/data/token_shard.h"
#include "parallel/agreement.h"

namespace hetmoe {
namespace {

std::unique_ptr<BatchReader> shard_reader(const RunConfig& config,
                                          std::shared_ptr<const TokenShard> shard) {
  return std::make_unique<ShardBatchReader>(
      std::move(shard),
      ShardReaderOptions{.seed = config.train.seed,
                         .sequence_length = config.train.sequence_length,
                         .global_batch = config.train.global_batch,
                         .vocab_size = config.model.vocab_size,
                         .attention_across_documents = config.data.attention_across_documents});
}

}  // namespace

TrainingData open_training_data(const RunConfig& config, bool count_unigrams) {
  TrainingData data;
  if (config.data.train == "random") {
    data.train = std::make_unique<RandomBatchReader>(config.train.seed, config.model.vocab_size,
                                                     config.train.sequence_length,
                                                     config.train.global_batch);
  } else {
    data.train = shard_reader(
        config, std::make_shared<const TokenShard>(TokenShard::open(config.data.train)));
  }
  if (config.data.valid.empty()) return data;
  auto shard = std::make_shared<const TokenShard>(TokenShard::open(config.data.valid));
  if (shard->sidecar() && shard->num_tokens() > 0) {
    data.valid_bytes_per_token =
        static_cast<double>(shard->sidecar()->raw_bytes) / static_cast<double>(shard->num_tokens());
  }
  if (count_unigrams) data.valid_unigram_entropy = unigram_entropy_nats(*shard);
  data.valid = shard_reader(config, std::move(shard));
  return data;
}

TrainingData open_shared_training_data(const RunConfig& config, Communicator& control,
                                       bool count_unigrams) {
  TrainingData data;
  collectively(control,
               [&] { data = open_training_data(config, count_unigrams && control.rank() == 0); });
  const std::array<std::int64_t, 2> windows = {data.train->num_windows(),
                                               data.valid ? data.valid->num_windows() : 0};
  std::array<std::int64_t, 2> of_first = windows;
  control.broadcast(buffer_of(std::span<std::int64_t>(of_first)), 0).wait();
  collectively(control, [&] {
    if (windows != of_first) {
      throw StorageError("data.train and data.valid hold " + std::to_string(windows[0]) + " and " +
                         std::to_string(windows[1]) + " windows here, but " +
                         std::to_string(of_first[0]) + " and " + std::to_string(of_first[1]) +
                         " on rank 0: all ranks must read the same files");
    }
  });
  return data;
}

}  // namespace hetmoe
