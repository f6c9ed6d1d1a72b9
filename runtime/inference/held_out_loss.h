#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/inference/loaded_model.h"
#include "runtime/metrics/training_record.h"

namespace hetmoe {

/// The loss that training reports as its evaluation (runtime/trainer/evaluation.h), on the shards
/// of `name` (as data.valid names them): whole windows of train.sequence_length in corpus order
/// until `max_tokens` are reached; 0: all of them; not given: evaluate.tokens of the run.
/// Collective.
/// Errors: AgreedError (storage, configuration) for a shard that is missing, too short or of a
/// larger vocabulary; StorageError of one rank for ids outside of it.
EvaluationRecord held_out_loss(LoadedModel& model, const std::string& name,
                               std::optional<std::int64_t> max_tokens);

}  // namespace hetmoe
