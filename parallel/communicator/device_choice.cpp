#include "parallel/communicator/device_choice.h"

#include <cstring>
#include <map>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/host_name.h"
#include "parallel/agreement.h"
#include "parallel/communicator/rank_hosts.h"

namespace hetmoe {
namespace {

std::string bytes_of_uuids(const gpu::Devices& devices) {
  std::string bytes;
  for (const gpu::Device& device : devices.visible)
    bytes.append(reinterpret_cast<const char*>(device.uuid.data()), device.uuid.size());
  return bytes;
}

std::vector<DeviceUuid> uuids_of_bytes(const std::string& bytes) {
  std::vector<DeviceUuid> uuids(bytes.size() / sizeof(DeviceUuid));
  if (!uuids.empty()) std::memcpy(uuids.data(), bytes.data(), uuids.size() * sizeof(DeviceUuid));
  return uuids;
}

}  // namespace

std::string uuid_text(const DeviceUuid& uuid) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "GPU-";
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[uuid[i] >> 4];
    text += kDigits[uuid[i] & 15];
  }
  return text;
}

std::vector<int> devices_of_ranks(const std::vector<RankDevices>& ranks, bool may_share) {
  std::string faults;
  const auto fault = [&faults](auto&&... parts) {
    faults += (faults.empty() ? "" : "\n") + detail::concatenate(parts...);
  };
  std::map<int, int> ranks_of_host;
  std::map<std::pair<int, DeviceUuid>, std::size_t> owners;
  std::vector<int> chosen;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankDevices& own = ranks[rank];
    const int place = ranks_of_host[own.host]++;
    const int visible = static_cast<int>(own.visible.size());
    int index = visible == 1 ? 0 : place;
    if (visible > 0 && may_share) index %= visible;
    chosen.push_back(index);
    if (visible == 0) {
      fault("rank ", rank, " on host ", own.host_name, " has no device: ", own.why_none);
    } else if (index >= visible) {
      fault("rank ", rank, " is number ", place, " (from 0) of the ranks on host ", own.host_name,
            ", which sees ", visible, " devices; allowed is one rank for each");
    } else {
      const DeviceUuid& uuid = own.visible[static_cast<std::size_t>(index)];
      const auto [owner, is_first] = owners.try_emplace({own.host, uuid}, rank);
      if (!is_first && !may_share)
        fault("ranks ", owner->second, " and ", rank, " on host ", own.host_name,
              " have the same device ", uuid_text(uuid), "; allowed is one rank for each");
    }
  }
  if (!faults.empty()) throw ConfigError(faults);
  return chosen;
}

int choose_device(Communicator& control, const gpu::Devices& devices, bool may_share) {
  const std::vector<int> hosts = hosts_of_ranks(control);
  const std::vector<std::string> names = gather_texts(control, host_name());
  const std::vector<std::string> uuids = gather_texts(control, bytes_of_uuids(devices));
  const std::vector<std::string> reasons = gather_texts(control, devices.why_none);
  std::vector<RankDevices> ranks;
  for (std::size_t rank = 0; rank < hosts.size(); ++rank)
    ranks.push_back({hosts[rank], names[rank], uuids_of_bytes(uuids[rank]), reasons[rank]});
  return devices_of_ranks(ranks, may_share)[static_cast<std::size_t>(control.rank())];
}

std::vector<int> device_numbers(Communicator& control, const DeviceUuid& own) {
  const std::vector<int> hosts = hosts_of_ranks(control);
  const std::vector<std::string> uuids = gather_texts(control, std::string(own.begin(), own.end()));
  std::map<std::pair<int, std::string>, int> numbers;
  std::vector<int> devices;
  for (std::size_t rank = 0; rank < hosts.size(); ++rank) {
    const auto number = static_cast<int>(numbers.size());
    devices.push_back(numbers.try_emplace({hosts[rank], uuids[rank]}, number).first->second);
  }
  return devices;
}

}  // namespace hetmoe
