#pragma once

#include <cstdint>

#include "core/data/batch_reader.h"
#include "core/model/decoder.h"
#include "parallel/communicator/communicator.h"
#include "runtime/metrics/training_record.h"
#include "runtime/run_config.h"

namespace hetmoe {

struct EvaluationParts {
  const RunConfig& config;
  Decoder& decoder;
  ParameterGate& gate;
  Communicator& control;
  BatchReader& reader;     ///< held-out text
  double bytes_per_token;  ///< of the held-out text; 0: unknown
};

/// Loss over the first `evaluate.tokens` tokens of the held-out text, in corpus order, the same
/// windows whatever the number of ranks, evenly read. Forced routing is that of step 0, with tokens
/// counted from the first window. Auxiliary losses are not part of it. Collective.
EvaluationRecord evaluate(const EvaluationParts& parts, std::int64_t step);

}  // namespace hetmoe
