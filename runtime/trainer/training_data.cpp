#include "runtime/trainer/training_data.h"

#include "core/data/inspect.h"
#include "core/data/random_batch_reader.h"
#include "core/data/shard_batch_reader.h"
#include "core/data/token_shard.h"

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

}  // namespace hetmoe
