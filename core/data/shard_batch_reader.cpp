#include "core/data/shard_batch_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {

ShardBatchReader::ShardBatchReader(std::shared_ptr<const TokenShard> shard,
                                   const ShardReaderOptions& options)
    : shard_(std::move(shard)),
      options_(options),
      sampler_(options.seed, shard_->num_tokens(), options.sequence_length, options.global_batch),
      window_(static_cast<std::size_t>(options.sequence_length) + 1) {
  const auto& sidecar = shard_->sidecar();
  if (sidecar && sidecar->vocab_size > options.vocab_size) {
    throw ConfigError("model.vocab_size is " + std::to_string(options.vocab_size) +
                      ", must be at least " + std::to_string(sidecar->vocab_size) +
                      ", the vocabulary of " + shard_->prefix());
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
  for (std::int64_t row = 0; row < count; ++row) {
    fill(row, (first_window + row) * options_.sequence_length, out);
  }
}

void ShardBatchReader::fill(std::int64_t row, std::int64_t token_begin, Batch& out) {
  shard_->read_checked(token_begin, window_, options_.vocab_size);
  const std::int64_t at = row * out.length;
  std::copy(window_.begin(), window_.end() - 1, out.inputs.begin() + at);
  std::copy(window_.begin() + 1, window_.end(), out.targets.begin() + at);
  if (!options_.attention_across_documents) mark_documents(row, token_begin, out);
}

void ShardBatchReader::mark_documents(std::int64_t row, std::int64_t token_begin,
                                      Batch& out) const {
  std::int64_t document = shard_->document_at(token_begin);
  std::int64_t end = shard_->document_begin(document + 1);
  std::int32_t begin_in_window = 0;
  for (std::int64_t position = 0; position < out.length; ++position) {
    if (token_begin + position == end) {
      begin_in_window = static_cast<std::int32_t>(position);
      while (end == token_begin + position) end = shard_->document_begin(++document + 1);
    }
    out.document_begin[static_cast<std::size_t>(row * out.length + position)] = begin_in_window;
  }
}

}  // namespace hetmoe
