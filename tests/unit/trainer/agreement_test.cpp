#include "parallel/agreement.h"

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>

#include "parallel/communicator/local_communicator.h"

namespace hetmoe {
namespace {

/// What every rank of a group of three got to know.
void expect_agreed(const std::function<void(int rank)>& work, ExitCode code,
                   const std::string& message) {
  run_ranks(3, [&](Communicator& group) {
    try {
      collectively(group, [&] { work(group.rank()); });
      ADD_FAILURE() << "rank " << group.rank() << " was told of nothing";
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.exit_code(), code);
      EXPECT_EQ(error.what(), message);
    }
  });
}

TEST(Collectively, EveryRankLearnsOfTheLowestRankThatFailed) {
  expect_agreed(
      [](int rank) {
        if (rank == 2) throw ConfigError("two");
        if (rank == 1) throw StorageError("one is full");
      },
      ExitCode::kStorage, "rank 1: one is full");
}

TEST(Collectively, RankZeroIsNotNamed) {
  expect_agreed(
      [](int rank) {
        if (rank == 0) throw ConfigError("no such key");
      },
      ExitCode::kConfiguration, "no such key");
}

TEST(Collectively, AnUnknownExceptionIsInternal) {
  expect_agreed(
      [](int rank) {
        if (rank == 2) throw std::runtime_error("odd");
      },
      ExitCode::kInternal, "rank 2: internal error: odd");
}

TEST(Collectively, ReturnsWhenAllSucceedAndTheGroupCanGoOnAfterAFailure) {
  run_ranks(3, [](Communicator& group) {
    int calls = 0;
    collectively(group, [&] { ++calls; });
    EXPECT_THROW(collectively(group,
                              [&] {
                                if (group.rank() == 1) throw ConfigError("x");
                              }),
                 AgreedError);
    collectively(group, [&] { ++calls; });
    EXPECT_EQ(calls, 2);
  });
}

TEST(BroadcastText, EveryRankGetsTheRootsBytes) {
  const std::string odd("a\0b\n\xff", 5);
  for (const std::string& text : {std::string(), odd, std::string(100000, 'x')}) {
    for (int root = 0; root < 3; ++root) {
      run_ranks(3, [&](Communicator& group) {
        const std::string own = group.rank() == root ? text : "something longer than that";
        EXPECT_EQ(broadcast_text(group, own, root), text) << "root " << root;
      });
    }
  }
}

TEST(GatherTexts, EveryRankGetsAllOfThemInOrder) {
  const std::vector<std::string> texts = {"first", "", std::string("a\0b", 3)};
  run_ranks(
      3, [&](Communicator& group) { EXPECT_EQ(gather_texts(group, texts[group.rank()]), texts); });
  run_ranks(1, [](Communicator& group) {
    EXPECT_EQ(gather_texts(group, "alone"), std::vector<std::string>{"alone"});
  });
}

}  // namespace
}  // namespace hetmoe
