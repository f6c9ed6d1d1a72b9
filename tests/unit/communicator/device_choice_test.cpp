#include "parallel/communicator/device_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/host_name.h"
#include "parallel/communicator/local_communicator.h"

namespace hetmoe::test {
namespace {

using testing::ElementsAre;

DeviceUuid uuid(int number) {
  DeviceUuid uuid{};
  uuid.back() = static_cast<std::uint8_t>(number);
  return uuid;
}

RankDevices rank_on(int host, const std::vector<int>& devices) {
  RankDevices rank{.host = host, .host_name = host == 0 ? "alpha" : "beta"};
  for (const int device : devices) rank.visible.push_back(uuid(device));
  if (devices.empty()) rank.why_none = "no device is visible";
  return rank;
}

std::string error_of(const std::vector<RankDevices>& ranks) {
  try {
    devices_of_ranks(ranks, false);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(DeviceChoice, a_rank_that_sees_several_takes_the_one_of_its_place_on_its_host) {
  EXPECT_THAT(devices_of_ranks({rank_on(0, {1, 2, 3}), rank_on(1, {1, 2}), rank_on(0, {1, 2, 3}),
                                rank_on(1, {1, 2}), rank_on(0, {1, 2, 3})},
                               false),
              ElementsAre(0, 0, 1, 1, 2));
}

TEST(DeviceChoice, a_rank_that_sees_one_takes_it) {
  EXPECT_THAT(devices_of_ranks({rank_on(0, {1}), rank_on(0, {2}), rank_on(0, {3})}, false),
              ElementsAre(0, 0, 0));
}

TEST(DeviceChoice, equal_devices_of_two_hosts_are_two) {
  EXPECT_THAT(devices_of_ranks({rank_on(0, {1}), rank_on(1, {1})}, false), ElementsAre(0, 0));
}

TEST(DeviceChoice, more_ranks_than_devices_are_an_error_that_names_host_and_numbers) {
  EXPECT_EQ(error_of({rank_on(0, {1, 2}), rank_on(0, {1, 2}), rank_on(0, {1, 2})}),
            "rank 2 is number 2 (from 0) of the ranks on host alpha, which sees 2 devices; allowed "
            "is one rank for each");
}

TEST(DeviceChoice, two_ranks_with_one_device_are_an_error_that_names_both_and_the_device) {
  EXPECT_EQ(error_of({rank_on(1, {7}), rank_on(0, {7}), rank_on(1, {7})}),
            "ranks 0 and 2 on host beta have the same device "
            "GPU-00000000-0000-0000-0000-000000000007; allowed is one rank for each");
}

TEST(DeviceChoice, the_same_device_is_found_under_different_indices) {
  EXPECT_THAT(error_of({rank_on(0, {1, 2}), rank_on(0, {2, 1})}),
              testing::HasSubstr("ranks 0 and 1 on host alpha have the same device"));
}

TEST(DeviceChoice, ranks_may_share_where_it_is_allowed) {
  EXPECT_THAT(devices_of_ranks({rank_on(0, {7}), rank_on(0, {7})}, true), ElementsAre(0, 0));
  EXPECT_THAT(devices_of_ranks({rank_on(0, {1, 2}), rank_on(0, {1, 2}), rank_on(0, {1, 2})}, true),
              ElementsAre(0, 1, 0));
}

TEST(DeviceChoice, every_fault_has_its_line) {
  EXPECT_EQ(error_of({rank_on(0, {}), rank_on(1, {3}), rank_on(1, {3})}),
            "rank 0 on host alpha has no device: no device is visible\n"
            "ranks 1 and 2 on host beta have the same device "
            "GPU-00000000-0000-0000-0000-000000000003; allowed is one rank for each");
}

gpu::Devices devices_of(const std::vector<int>& numbers) {
  gpu::Devices devices;
  for (const int number : numbers) devices.visible.push_back({.name = "a", .uuid = uuid(number)});
  return devices;
}

TEST(DeviceChoice, ranks_of_a_host_agree_on_different_devices) {
  run_ranks(3, [](Communicator& group) {
    EXPECT_EQ(choose_device(group, devices_of({10, 11, 12}), false), group.rank());
  });
}

TEST(DeviceChoice, an_error_is_the_same_on_every_rank) {
  run_ranks(3, [](Communicator& group) {
    gpu::Devices own = devices_of({group.rank()});
    if (group.rank() == 1) own = {.visible = {}, .why_none = "the driver is too old"};
    try {
      choose_device(group, own, false);
      FAIL() << "rank 1 has none";
    } catch (const ConfigError& error) {
      EXPECT_EQ(std::string(error.what()),
                "rank 1 on host " + host_name() + " has no device: the driver is too old");
    }
  });
}

}  // namespace
}  // namespace hetmoe::test
