// Beside a GPU; tests/emulation/include has the same names for a CPU that plays it.
#pragma once

namespace hetmoe::test {

/// NCCL has its own limit, and nobody can lower it.
class GroupLimit {
 public:
  explicit GroupLimit(int) {}
};

}  // namespace hetmoe::test
