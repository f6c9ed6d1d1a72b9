// Beside a GPU; tests/emulation/include has the same names for a CPU that plays it.
#pragma once

namespace hetmoe::test {

// Making a communicator takes NCCL seconds, which count, too.
constexpr double kShortSeconds = 10;
constexpr const char* kShortText = "10 s";
constexpr double kLongSeconds = 60;

/// NCCL has its own limit, and nobody can lower it.
class GroupLimit {
 public:
  explicit GroupLimit(int) {}
};

}  // namespace hetmoe::test
