#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

// What a GPU may do to LibTorch's matrix products where nobody forbids it. A program that does not
// forbid it gives other numbers than on the CPU, or other bits in every process.
namespace hetmoe::emulation {

/// Whether these liberties exist for this operation.
bool is_product(const c10::OperatorHandle& operation);

/// fp32 factors on the stack lose the bits that TF32 has not, if LibTorch may use it.
void round_factors(const c10::OperatorHandle& operation, torch::jit::Stack& stack);

/// Last bits of the result differ from process to process, unless deterministic algorithms are
/// asked for and cuBLAS has room of a fixed size. Only with HETMOE_EMULATED_SUMS_VARY=1 in the
/// environment.
void vary_sums(torch::jit::Stack& stack);

}  // namespace hetmoe::emulation
