#include "core/data/shard_batch_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {
namespace {

WindowSampler sampler_of(const TokenSource& source, const ShardReaderOptions& options) {
  try {
    return {options.seed, source.num_tokens(), options.sequence_length, options.global_batch};
  } catch (const ConfigError& error) {
    throw ConfigError(source.name() + ": " + error.what());  // one of several, perhaps
  }
}

}  // namespace

ShardBatchReader::ShardBatchReader(std::shared_ptr<const TokenSource> source,
                                   const ShardReaderOptions& options)
    : source_(std::move(source)),
      options_(options),
      sampler_(sampler_of(*source_, options)),
      window_(static_cast<std::size_t>(options.sequence_length) + 1) {
  const auto& sidecar = source_->sidecar();
  if (sidecar && sidecar->vocab_size > options.vocab_size) {
    throw ConfigError("model.vocab_size is " + std::to_string(options.vocab_size) +
                      ", must be at least " + std::to_string(sidecar->vocab_size) +
                      ", the vocabulary of " + source_->name());
  }
}

void ShardBatchReader::read(std::int64_t step,
                            std::span<const std::int64_t> indices_in_global_batch, Batch& out) {
  out.resize(static_cast<std::int64_t>(indices_in_global_batch.size()), options_.sequence_length);
  for (std::size_t row = 0; row < indices_in_global_batch.size(); ++row) {
    fill(static_cast<std::int64_t>(row), sampler_.window_begin(step, indices_in_global_batch[row]),
         out);
  }
}

void ShardBatchReader::read_sequential(std::int64_t first_window, std::int64_t count, Batch& out) {
  HETMOE_CHECK(first_window >= 0 && count >= 0 && count <= num_windows() - first_window,
               "windows [", first_window, ", ", first_window, " + ", count, ") of ", num_windows());
  out.resize(count, options_.sequence_length);
  for (std::int64_t row = 0; row < count; ++row) read_window(first_window + row, row, out);
}

void ShardBatchReader::read_sample(std::int64_t sample, std::int64_t row, Batch& out) {
  fill(row, sampler_.window_begin_of_sample(sample), out);
}

void ShardBatchReader::read_window(std::int64_t window, std::int64_t row, Batch& out) {
  fill(row, window * options_.sequence_length, out);
}

void ShardBatchReader::fill(std::int64_t row, std::int64_t token_begin, Batch& out) {
  source_->read_checked(token_begin, window_, options_.vocab_size);
  const std::int64_t at = row * out.length;
  std::copy(window_.begin(), window_.end() - 1, out.inputs.begin() + at);
  std::copy(window_.begin() + 1, window_.end(), out.targets.begin() + at);
  if (!options_.attention_across_documents) mark_documents(row, token_begin, out);
}

void ShardBatchReader::mark_documents(std::int64_t row, std::int64_t token_begin, Batch& out) {
  starts_.clear();
  const auto length = static_cast<std::size_t>(out.length);
  source_->find_documents(token_begin, std::span(window_).first(length), starts_);
  const auto begins = out.document_begin.begin() + row * out.length;
  for (std::size_t i = 0; i < starts_.size(); ++i) {
    const std::int64_t end = i + 1 < starts_.size() ? starts_[i + 1] : out.length;
    std::fill(begins + starts_[i], begins + end, static_cast<std::int32_t>(starts_[i]));
  }
}

}  // namespace hetmoe
