#pragma once

#include <gtest/gtest.h>

#include <string>

#include "parallel/communicator/communicator.h"

namespace hetmoe::test {

/// Prints each failure with its rank, and ends the whole job on a fatal one (an exception out of a
/// test body is fatal too): the peers may be inside a collective that this rank will never join.
/// So: ASSERT in distributed tests, EXPECT only where the peers can go on.
class RankListener final : public testing::EmptyTestEventListener {
 public:
  explicit RankListener(Communicator& world) : world_(world) {}
  void OnTestStart(const testing::TestInfo& test) override;
  void OnTestPartResult(const testing::TestPartResult& result) override;

 private:
  Communicator& world_;
  std::string test_;  ///< GoogleTest holds its lock during a result: it cannot be asked then
};

}  // namespace hetmoe::test
