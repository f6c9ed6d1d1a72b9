#include "runtime/trainer/evaluation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <span>

#include "runtime/trainer/global_batch.h"

namespace hetmoe {

EvaluationRecord evaluate(const EvaluationParts& parts, std::int64_t step) {
  const TrainConfig& train = parts.config.train;
  const std::int64_t length = train.sequence_length;
  const std::int64_t windows =
      std::min(parts.reader.num_windows(), (parts.config.evaluate.tokens + length - 1) / length);
  const std::int64_t at_once = train.global_batch / train.microbatches;
  RouterStatistics statistics(parts.config.model.num_layers, parts.config.model.experts.count);
  const auto forced = forced_workload(parts.config.model, train.seed);
  Batch batch;
  parts.gate.wait_all();
  std::array<double, 1> loss_sum = {0};
  for (std::int64_t first = 0; first < windows; first += at_once) {
    const std::int64_t count = std::min(at_once, windows - first);
    const PlaceRange mine =
        places_of_rank({first, count}, parts.control.rank(), parts.control.size());
    parts.reader.read_sequential(mine.first, mine.count, batch);
    PassState pass{.microbatch = {.sequences = batch.sequences,
                                  .length = batch.length,
                                  .inputs = batch.inputs,
                                  .targets = batch.targets,
                                  .document_begin = batch.document_begin,
                                  .global_tokens = count * length,
                                  .microbatches = 1,
                                  .step = 0,
                                  .first_token = mine.first * length},
                   .statistics = &statistics,
                   .forced = forced ? &*forced : nullptr};
    loss_sum[0] += parts.decoder.evaluate(pass);
  }
  parts.control.all_reduce(buffer_of(std::span<double>(loss_sum)), Reduction::kSum).wait();
  EvaluationRecord record;
  record.step = step;
  record.tokens = windows * length;
  record.loss = loss_sum[0] / static_cast<double>(record.tokens);
  if (parts.bytes_per_token > 0) {
    record.bits_per_byte = record.loss / std::numbers::ln2 / parts.bytes_per_token;
  }
  return record;
}

}  // namespace hetmoe
