#pragma once

#include "tests/emulation/nccl.h"

namespace hetmoe::test {

// Of waits that must end by themselves, and of those that must not.
constexpr double kShortSeconds = 0.5;
constexpr const char* kShortText = "0.5 s";
constexpr double kLongSeconds = 20;

/// While one exists, groups of more sends and receives than that fail.
class GroupLimit {
 public:
  explicit GroupLimit(int operations) { emulation::limit_group_operations(operations); }
  ~GroupLimit() { emulation::limit_group_operations(kOfNccl); }
  GroupLimit(const GroupLimit&) = delete;
  GroupLimit& operator=(const GroupLimit&) = delete;

 private:
  static constexpr int kOfNccl = 2048;
};

}  // namespace hetmoe::test
