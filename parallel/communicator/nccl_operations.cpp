#include "parallel/communicator/nccl_operations.h"

#include <algorithm>

#include "parallel/communicator/rank_order_sum.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kTouchBytes = 16;

std::size_t index_of(int rank) { return static_cast<std::size_t>(rank); }

std::size_t size_of(DevicePart part) { return static_cast<std::size_t>(part.size_bytes); }

/// Of scratch memory for one rank: whole elements of every type, and packs of them.
std::int64_t slot_bytes(const NcclConnection& connection, int size) {
  return connection.options().scratch_bytes / size / 16 * 16;
}

void exchange_with_peers(NcclConnection& connection, const OperationName& name,
                         std::span<const DevicePart> sends, std::span<const DevicePart> receives,
                         int first_step, int last_step) {
  // Step s of rank r sends to r + s, whose step s receives from r: both in the same group.
  const auto send_of = [&](int step) { return (name.rank + step) % name.size; };
  const auto receive_of = [&](int step) { return (name.rank + name.size - step) % name.size; };
  bool any = false;
  for (int step = first_step; step < last_step; ++step)
    any |= sends[index_of(send_of(step))].size_bytes > 0 ||
           receives[index_of(receive_of(step))].size_bytes > 0;
  if (!any) return;
  connection.launch(name, [&](ncclComm_t comm) {
    NcclGroupCall group(name, comm);
    for (int step = first_step; step < last_step; ++step) {
      const DevicePart out = sends[index_of(send_of(step))];
      const DevicePart in = receives[index_of(receive_of(step))];
      if (out.size_bytes > 0)
        check_nccl(
            "ncclSend",
            ncclSend(out.pointer, size_of(out), ncclInt8, send_of(step), comm, connection.stream()),
            name, comm);
      if (in.size_bytes > 0)
        check_nccl("ncclRecv",
                   ncclRecv(in.pointer, size_of(in), ncclInt8, receive_of(step), comm,
                            connection.stream()),
                   name, comm);
    }
    group.end();
  });
}

void all_gather(NcclConnection& connection, const OperationName& name, DevicePart own) {
  connection.launch(name, [&](ncclComm_t comm) {
    check_nccl("ncclAllGather",
               ncclAllGather(own.pointer, connection.scratch(), size_of(own), ncclInt8, comm,
                             connection.stream()),
               name, comm);
  });
}

}  // namespace

void exchange(NcclConnection& connection, const OperationName& name,
              std::span<const DevicePart> sends, std::span<const DevicePart> receives) {
  const DevicePart own = sends[index_of(name.rank)];
  std::byte* place = receives[index_of(name.rank)].pointer;
  if (own.pointer != place)
    gpu::copy_on_device(place, own.pointer, size_of(own), connection.stream());
  const int at_once = connection.options().peers_in_a_group;
  for (int step = 1; step < name.size; step += at_once)
    exchange_with_peers(connection, name, sends, receives, step,
                        std::min(name.size, step + at_once));
}

void broadcast(NcclConnection& connection, const OperationName& name, DevicePart values, int root) {
  connection.launch(name, [&](ncclComm_t comm) {
    check_nccl("ncclBroadcast",
               ncclBroadcast(values.pointer, values.pointer, size_of(values), ncclInt8, root, comm,
                             connection.stream()),
               name, comm);
  });
}

void reduce_gathered(NcclConnection& connection, const OperationName& name, Buffer values,
                     Reduction reduction) {
  auto* own = static_cast<std::byte*>(values.pointer);
  const std::int64_t size_bytes = values.count * bytes_of(values.type);
  all_gather(connection, name, {own, size_bytes});
  gpu::rank_order_sum({.type = values.type,
                       .reduction = reduction,
                       .slots = connection.scratch(),
                       .slot_bytes = size_bytes,
                       .own = own,
                       .own_rank = name.rank,
                       .ranks = name.size,
                       .destination = own,
                       .count = values.count},
                      connection.stream());
}

void reduce_parts(NcclConnection& connection, const OperationName& name,
                  const PartedReduction& request) {
  const std::int64_t element_bytes = bytes_of(request.send.type);
  const std::int64_t chunk_bytes = slot_bytes(connection, name.size);
  std::vector<DevicePart> parts;
  auto* pointer = static_cast<std::byte*>(const_cast<void*>(request.send.pointer));
  std::int64_t longest_bytes = 0;
  for (const std::int64_t count : request.counts) {
    parts.push_back({pointer, count * element_bytes});
    pointer += parts.back().size_bytes;
    longest_bytes = std::max(longest_bytes, parts.back().size_bytes);
  }
  const DevicePart own = parts[index_of(name.rank)];
  const auto chunk_of = [&](DevicePart part, std::int64_t begin) {
    return std::clamp(part.size_bytes - begin, std::int64_t{0}, chunk_bytes);
  };
  for (std::int64_t begin = 0; begin < longest_bytes; begin += chunk_bytes) {
    std::vector<DevicePart> sends(parts.size());
    std::vector<DevicePart> receives(parts.size());
    for (int peer = 0; peer < name.size; ++peer) {
      if (peer == name.rank) continue;  // is read where it lies
      const DevicePart part = parts[index_of(peer)];
      sends[index_of(peer)] = {part.pointer + begin, chunk_of(part, begin)};
      receives[index_of(peer)] = {connection.scratch() + peer * chunk_bytes, chunk_of(own, begin)};
    }
    exchange(connection, name, sends, receives);
    if (chunk_of(own, begin) == 0) continue;
    gpu::rank_order_sum({.type = request.send.type,
                         .reduction = request.reduction,
                         .slots = connection.scratch(),
                         .slot_bytes = chunk_bytes,
                         .own = own.pointer + begin,
                         .own_rank = name.rank,
                         .ranks = name.size,
                         .destination = request.receive + begin,
                         .count = chunk_of(own, begin) / element_bytes},
                        connection.stream());
  }
  if (request.gather == nullptr) return;
  std::vector<DevicePart> receives;
  for (const DevicePart& part : parts)
    receives.push_back({request.gather + (part.pointer - parts[0].pointer), part.size_bytes});
  const std::vector<DevicePart> sends(parts.size(), receives[index_of(name.rank)]);
  exchange(connection, name, sends, receives);
}

void touch_all_ranks(NcclConnection& connection, const OperationName& name) {
  std::vector<DevicePart> sends(index_of(name.size));
  std::vector<DevicePart> receives(index_of(name.size));
  for (int peer = 0; peer < name.size; ++peer) {
    std::byte* place = connection.scratch() + peer * 2 * kTouchBytes;
    sends[index_of(peer)] = {place, kTouchBytes};
    receives[index_of(peer)] = {place + kTouchBytes, kTouchBytes};
  }
  exchange(connection, name, sends, receives);
  const std::int64_t gathered_bytes = name.size * kTouchBytes;
  all_gather(connection, name, {connection.scratch() + gathered_bytes, kTouchBytes});
  broadcast(connection, name, {connection.scratch(), kTouchBytes}, 0);
}

}  // namespace hetmoe
