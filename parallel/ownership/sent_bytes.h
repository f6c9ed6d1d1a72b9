#pragma once

#include <cstdint>

namespace hetmoe {

/// Payload that one rank has sent to others since the start, in gradients and updated parameters.
struct SentBytes {
  std::int64_t gradients = 0;
  std::int64_t parameters = 0;
};

}  // namespace hetmoe
