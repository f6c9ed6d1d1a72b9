#include "core/data/mixture_batch_reader.h"

#include <algorithm>

#include "core/base/check.h"

namespace hetmoe {
namespace {

std::vector<double> weights_of(std::span<const WeightedSource> sources) {
  std::vector<double> weights;
  for (const WeightedSource& source : sources) weights.push_back(source.weight);
  return weights;
}

}  // namespace

MixtureBatchReader::MixtureBatchReader(std::span<const WeightedSource> sources,
                                       const ShardReaderOptions& options)
    : schedule_(weights_of(sources)), options_(options), first_windows_(1, 0) {
  std::vector<const TokenSource*> all;
  for (const WeightedSource& source : sources) all.push_back(source.source.get());
  require_one_tokenizer(all);
  for (const WeightedSource& source : sources) {
    readers_.emplace_back(source.source, options);
    first_windows_.push_back(first_windows_.back() + readers_.back().num_windows());
  }
}

void MixtureBatchReader::read(std::int64_t step,
                              std::span<const std::int64_t> indices_in_global_batch, Batch& out) {
  HETMOE_CHECK(step >= 1, "step ", step);
  out.resize(static_cast<std::int64_t>(indices_in_global_batch.size()), options_.sequence_length);
  for (std::size_t row = 0; row < indices_in_global_batch.size(); ++row) {
    const std::int64_t index = indices_in_global_batch[row];
    HETMOE_CHECK(index >= 0 && index < options_.global_batch, "index ", index,
                 " in a global batch of ", options_.global_batch);
    const MixtureSchedule::Place place = schedule_.at((step - 1) * options_.global_batch + index);
    readers_[static_cast<std::size_t>(place.source)].read_sample(
        place.sample, static_cast<std::int64_t>(row), out);
  }
}

void MixtureBatchReader::read_sequential(std::int64_t first_window, std::int64_t count,
                                         Batch& out) {
  HETMOE_CHECK(first_window >= 0 && count >= 0 && count <= num_windows() - first_window,
               "windows [", first_window, ", ", first_window, " + ", count, ") of ", num_windows());
  out.resize(count, options_.sequence_length);
  for (std::int64_t row = 0; row < count; ++row) {
    const std::int64_t window = first_window + row;
    const auto end = std::upper_bound(first_windows_.begin(), first_windows_.end(), window);
    const auto source = static_cast<std::size_t>(end - first_windows_.begin()) - 1;
    readers_[source].read_window(window - first_windows_[source], row, out);
  }
}

}  // namespace hetmoe
