#include "runtime/inference/held_out_loss.h"

#include "core/model/decoder.h"
#include "core/model/parameter_gate.h"
#include "runtime/trainer/evaluation.h"
#include "runtime/trainer/training_data.h"

namespace hetmoe {

EvaluationRecord held_out_loss(LoadedModel& model, const std::string& name,
                               std::optional<std::int64_t> max_tokens) {
  RunConfig config = model.config();
  config.data.train = "random";  // the run's own text is not read
  config.data.mixture.clear();
  config.data.mixture_weights.clear();
  config.data.valid = name;
  const TrainingData data =
      open_shared_training_data(config, model.control(), /*count_unigrams=*/false);
  if (max_tokens) {
    config.evaluate.tokens =
        *max_tokens > 0 ? *max_tokens : data.valid->num_windows() * config.train.sequence_length;
  }
  return evaluate({.config = config,
                   .decoder = model.decoder(),
                   .gate = model.gate(),
                   .control = model.control(),
                   .reader = *data.valid,
                   .bytes_per_token = data.valid_bytes_per_token},
                  model.step());
}

}  // namespace hetmoe
