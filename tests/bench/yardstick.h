#pragma once

#include <ATen/core/Tensor.h>

#include "tests/bench/harness.h"

namespace hetmoe::bench {

/// Reproducible normal values, fp32 [rows, columns].
at::Tensor normal(const char* name, std::int64_t rows, std::int64_t columns, double deviation);

/// The machine's own rate: a 2048 x 1024 x 2048 at::mm of this type.
Case yardstick(at::ScalarType type);

}  // namespace hetmoe::bench
