#include "parallel/communicator/device_groups.h"

namespace hetmoe {

void DeviceGroups::enter(Group& group) {
  const std::scoped_lock guard(mutex_);
  groups_.push_back(&group);
}

void DeviceGroups::leave(Group& group) {
  const std::scoped_lock guard(mutex_);
  std::erase(groups_, &group);
}

std::optional<std::string> DeviceGroups::asynchronous_error() {
  const std::scoped_lock guard(mutex_);
  for (Group* group : groups_) {
    if (std::optional<std::string> error = group->asynchronous_error()) return error;
  }
  return std::nullopt;
}

void DeviceGroups::stop(const std::string& reason) {
  const std::scoped_lock guard(mutex_);
  for (Group* group : groups_) group->stop(reason);
}

}  // namespace hetmoe
