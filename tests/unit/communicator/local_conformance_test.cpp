#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <tuple>

#include "parallel/communicator/local_communicator.h"
#include "tests/support/communicator_conformance.h"

namespace hetmoe::test {
namespace {

class LocalConformance : public testing::TestWithParam<std::tuple<std::size_t, int>> {};

TEST_P(LocalConformance, holds) {
  const auto& [index, ranks] = GetParam();
  const ConformanceCase& one = communicator_conformance_cases()[index];
  run_ranks(ranks, [&](Communicator& group) { one.check(group, 6000); });
}

INSTANTIATE_TEST_SUITE_P(
    Cases, LocalConformance,
    testing::Combine(testing::Range<std::size_t>(0, communicator_conformance_cases().size()),
                     testing::Values(1, 2, 3, 4, 5)),
    [](const auto& context) {
      return std::string(communicator_conformance_cases()[std::get<0>(context.param)].name) +
             "_np" + std::to_string(std::get<1>(context.param));
    });

}  // namespace
}  // namespace hetmoe::test
