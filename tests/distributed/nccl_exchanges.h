#pragma once

#include <gtest/gtest.h>
#include <observed_nccl.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "tests/distributed/nccl_world.h"

// What tests of the communicator over a GPU's memory send, and how they look at failures.
namespace hetmoe::test {

/// Values that every rank sends to every rank, in equal parts, and what comes back.
class AllToAll {
 public:
  AllToAll(NcclWorld& world, int seed)
      : world_(world),
        counts_(static_cast<std::size_t>(world.group().size()), kPart),
        send_(world.placed(), values(seed, world.group().rank())),
        receive_(room_for<float>(world.placed(), kPart * world.group().size())) {
    const int size = world.group().size();
    for (int peer = 0; peer < size; ++peer) {
      const std::vector<float> all = values(seed, peer);
      const auto begin = all.begin() + kPart * world.group().rank();
      expected_.insert(expected_.end(), begin, begin + kPart);
    }
  }
  Pending start() {
    return world_.group().all_to_all_v(send_.buffer(), counts_, receive_.buffer(), counts_);
  }
  std::vector<float> received() const { return receive_.values(); }
  const std::vector<float>& expected() const { return expected_; }

 private:
  static constexpr std::int64_t kPart = 100;
  std::vector<float> values(int seed, int rank) const {
    return values_of<float>(seed, rank, kPart * world_.group().size());
  }

  NcclWorld& world_;
  std::vector<std::int64_t> counts_;
  Placed<float> send_;
  Placed<float> receive_;
  std::vector<float> expected_;
};

/// One float of every rank to every rank.
class Exchange {
 public:
  explicit Exchange(NcclWorld& world)
      : world_(world),
        counts_(static_cast<std::size_t>(world.group().size()), 1),
        send_(world.placed(), std::vector<float>(counts_.size(), 1.0F)),
        receive_(world.placed(), std::vector<float>(counts_.size())) {}
  Pending start() {
    return world_.group().all_to_all_v(send_.buffer(), counts_, receive_.buffer(), counts_);
  }

 private:
  NcclWorld& world_;
  std::vector<std::int64_t> counts_;
  Placed<float> send_;
  Placed<float> receive_;
};

inline std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

inline double seconds_of(const std::function<void()>& call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Tests of what one rank does to another.
class NcclPeers : public testing::Test {
 protected:
  void SetUp() override {
    if (test_world().size() == 1) GTEST_SKIP() << "needs two ranks";
  }
  void TearDown() override { test_world().barrier(); }

  static bool is_last() { return test_world().rank() == test_world().size() - 1; }
  /// " on rank 1 of 3"
  static std::string place() {
    return " on rank " + std::to_string(test_world().rank()) + " of " +
           std::to_string(test_world().size());
  }
};

}  // namespace hetmoe::test
