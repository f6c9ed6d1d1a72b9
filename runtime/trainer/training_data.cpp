#include "runtime/trainer/training_data.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/data/inspect.h"
#include "core/data/mixture_batch_reader.h"
#include "core/data/open_source.h"
#include "core/data/random_batch_reader.h"
#include "core/data/shard_batch_reader.h"
#include "parallel/agreement.h"

namespace hetmoe {
namespace {

ShardReaderOptions reader_options(const RunConfig& config) {
  return {.seed = config.train.seed,
          .sequence_length = config.train.sequence_length,
          .global_batch = config.train.global_batch,
          .vocab_size = config.model.vocab_size,
          .attention_across_documents = config.data.attention_across_documents};
}

std::vector<WeightedSource> open_sources(const DataConfig& config) {
  std::vector<WeightedSource> sources;
  if (config.mixture.empty()) sources.push_back({open_token_source(config.train), 1});
  for (std::size_t i = 0; i < config.mixture.size(); ++i) {
    sources.push_back({open_token_source(config.mixture[i]), config.mixture_weights[i]});
  }
  return sources;
}

std::vector<DataSourceRow> source_rows(const RunConfig& config,
                                       std::span<const WeightedSource> sources) {
  const std::int64_t length = config.train.sequence_length;
  std::vector<double> weights;
  double sum = 0;
  for (const WeightedSource& source : sources) {
    weights.push_back(source.weight);
    sum += source.weight;
  }
  const std::vector<std::int64_t> sequences =
      MixtureSchedule(weights).counts(config.train.steps * config.train.global_batch);
  std::vector<DataSourceRow> rows;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const TokenSource& source = *sources[i].source;
    const std::int64_t windows = (source.num_tokens() - 1) / length;
    rows.push_back({.name = source.name(),
                    .format = source.format() + " " + name_of(source.token_type()),
                    .tokens = source.num_tokens(),
                    .weight_ratio = weights[i] / sum,
                    .taken_tokens = sequences[i] * length,
                    .epochs = static_cast<double>(sequences[i]) / static_cast<double>(windows)});
  }
  return rows;
}

void open_train(const RunConfig& config, TrainingData& data) {
  if (config.data.train == "random") {
    data.train = std::make_unique<RandomBatchReader>(config.train.seed, config.model.vocab_size,
                                                     config.train.sequence_length,
                                                     config.train.global_batch);
    return;
  }
  const std::vector<WeightedSource> sources = open_sources(config.data);
  data.train = std::make_unique<MixtureBatchReader>(sources, reader_options(config));
  data.sources = source_rows(config, sources);
}

void open_valid(const RunConfig& config, bool count_unigrams, TrainingData& data) {
  if (config.data.valid.empty()) return;
  std::shared_ptr<const TokenSource> source = open_token_source(config.data.valid);
  if (source->sidecar() && source->num_tokens() > 0) {
    data.valid_bytes_per_token = static_cast<double>(source->sidecar()->raw_bytes) /
                                 static_cast<double>(source->num_tokens());
  }
  if (count_unigrams) data.valid_unigram_entropy = unigram_entropy_nats(*source);
  data.valid = std::make_unique<ShardBatchReader>(std::move(source), reader_options(config));
}

struct Length {
  std::string name;
  std::int64_t count = 0;
  const char* unit = "";
};

std::vector<Length> lengths_of(const RunConfig& config, const TrainingData& data) {
  std::vector<Length> lengths;
  for (const DataSourceRow& row : data.sources) lengths.push_back({row.name, row.tokens, "tokens"});
  if (data.valid) lengths.push_back({config.data.valid, data.valid->num_windows(), "windows"});
  return lengths;
}

}  // namespace

TrainingData open_training_data(const RunConfig& config, bool count_unigrams) {
  TrainingData data;
  open_train(config, data);
  open_valid(config, count_unigrams, data);
  return data;
}

TrainingData open_shared_training_data(const RunConfig& config, Communicator& control,
                                       bool count_unigrams) {
  TrainingData data;
  collectively(control,
               [&] { data = open_training_data(config, count_unigrams && control.rank() == 0); });
  // As many on every rank: the configuration is agreed.
  const std::vector<Length> lengths = lengths_of(config, data);
  std::vector<std::int64_t> of_first;
  for (const Length& length : lengths) of_first.push_back(length.count);
  control.broadcast(buffer_of(std::span<std::int64_t>(of_first)), 0).wait();
  collectively(control, [&] {
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      if (lengths[i].count == of_first[i]) continue;
      throw StorageError(lengths[i].name + " holds " + std::to_string(lengths[i].count) + " " +
                         lengths[i].unit + " here, but " + std::to_string(of_first[i]) +
                         " on rank 0: all ranks must read the same files");
    }
  });
  return data;
}

}  // namespace hetmoe
