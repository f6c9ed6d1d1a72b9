#pragma once

#include <cstdint>

namespace hetmoe {

/// Payload of gradients and updated parameters between one rank and others, since the start.
struct UpdateBytes {
  std::int64_t gradients = 0;          ///< sent
  std::int64_t parameters = 0;         ///< sent
  std::int64_t parameters_hidden = 0;  ///< received, and there before this rank asked for them
};

}  // namespace hetmoe
