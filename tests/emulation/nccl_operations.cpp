// What NCCL's communicators move (include/nccl.h).
#include <algorithm>
#include <utility>

#include "tests/emulation/device_memory.h"
#include "tests/emulation/nccl.h"
#include "tests/emulation/nccl_state.h"

using namespace hetmoe::emulation;

namespace {

struct Group {
  int depth = 0;
  ncclComm_t comm = nullptr;
  Launch launch;
  ncclResult_t error = ncclSuccess;
};
thread_local Group group;

/// Whether the operation may begin; as NCCL says it.
ncclResult_t begin(const char* function, ncclComm_t comm, int peer, const void* memory,
                   std::size_t size_bytes) {
  check_alive(comm, function);
  if (const auto code = failure_of(function); code != ncclSuccess) return code;
  if (comm->fate->error != ncclSuccess) return static_cast<ncclResult_t>(comm->fate->error.load());
  if (comm->meeting || !comm->late.empty())
    return failed(ncclInvalidArgument, "communicator used before the previous call has ended");
  if (peer < 0 || peer >= comm->size) return failed(ncclInvalidArgument, "no such peer");
  if (size_bytes > 0 && !is_on_device(memory, size_bytes))
    return failed(ncclInvalidArgument, "not memory of the device");
  if (group.depth > 0 && group.comm != nullptr && group.comm != comm)
    refuse("one group of two communicators");
  return ncclSuccess;
}

/// Into the open group, or alone.
ncclResult_t add(ncclComm_t comm, cudaStream_t stream, const std::vector<Transfer>& transfers) {
  if (group.depth == 0) {
    Launch alone;
    alone.stream = stream;
    for (const Transfer& transfer : transfers) alone.transfers->add(transfer);
    return launch(comm, std::move(alone));
  }
  if (group.launch.transfers->size() == static_cast<std::size_t>(largest_group()))
    return failed(ncclInvalidUsage, "too many operations in a group");
  for (const Transfer& transfer : transfers) group.launch.transfers->add(transfer);
  group.launch.stream = stream;
  group.comm = comm;
  return ncclSuccess;
}

ncclResult_t noted(ncclResult_t result) {
  if (group.depth > 0 && result != ncclSuccess) group.error = result;
  return result;
}

Transfer transfer(ncclComm_t comm, const void* device, std::size_t size_bytes, int peer) {
  return {.device = static_cast<std::byte*>(const_cast<void*>(device)),
          .size_bytes = size_bytes,
          .process = comm->processes[static_cast<std::size_t>(peer)],
          .tag = comm->tag,
          .operation = "send and receive"};
}

ncclResult_t send(const void* from, std::size_t count, int peer, ncclComm_t comm,
                  cudaStream_t stream) {
  if (const auto code = begin("ncclSend", comm, peer, from, count); code != ncclSuccess)
    return code;
  Transfer one = transfer(comm, from, count, peer);
  one.sends = true;
  return add(comm, stream, {one});
}

ncclResult_t receive(void* to, std::size_t count, int peer, ncclComm_t comm, cudaStream_t stream) {
  if (const auto code = begin("ncclRecv", comm, peer, to, count); code != ncclSuccess) return code;
  return add(comm, stream, {transfer(comm, to, count, peer)});
}

/// What a collective moves between this rank and all others.
class Collective {
 public:
  Collective(ncclComm_t comm, const char* operation)
      : comm_(comm), operation_(operation), sequence_(++comm->collectives) {}
  void add(bool sends, const void* device, std::size_t size_bytes, int peer) {
    if (peer == comm_->rank) return;
    Transfer one = transfer(comm_, device, size_bytes, peer);
    one.sends = sends;
    one.operation = operation_;
    one.sequence = sequence_;
    transfers_.push_back(one);
  }
  const std::vector<Transfer>& transfers() const { return transfers_; }

 private:
  ncclComm_t comm_;
  const char* operation_;
  std::uint64_t sequence_;
  std::vector<Transfer> transfers_;
};

}  // namespace

ncclResult_t ncclGroupStart() {
  if (const auto code = failure_of("ncclGroupStart"); code != ncclSuccess) return code;
  ++group.depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group.depth == 0) return failed(ncclInvalidUsage, "no group is open");
  if (--group.depth > 0) return ncclSuccess;
  Group ended;
  std::swap(ended, group);
  if (const auto code = failure_of("ncclGroupEnd"); code != ncclSuccess) return code;
  if (ended.error != ncclSuccess) return ended.error;
  if (ended.comm == nullptr) return ncclSuccess;
  int& most = observed_nccl().most_operations;
  most = std::max(most, static_cast<int>(ended.launch.transfers->size()));
  return launch(ended.comm, std::move(ended.launch));
}

ncclResult_t ncclSend(const void* from, std::size_t count, ncclDataType_t, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return noted(send(from, count, peer, comm, stream));
}

ncclResult_t ncclRecv(void* to, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return noted(receive(to, count, peer, comm, stream));
}

ncclResult_t ncclAllGather(const void* from, void* to, std::size_t count, ncclDataType_t,
                           ncclComm_t comm, cudaStream_t stream) {
  if (group.depth > 0) refuse("hetmoe has no collectives in groups");
  if (const auto code = begin("ncclAllGather", comm, 0, from, count); code != ncclSuccess)
    return code;
  auto* parts = static_cast<std::byte*>(to);
  const std::size_t total = count * static_cast<std::size_t>(comm->size);
  if (!is_on_device(to, total)) return failed(ncclInvalidArgument, "not memory of the device");
  if (const auto code = cudaMemcpyAsync(parts + count * static_cast<std::size_t>(comm->rank), from,
                                        count, cudaMemcpyDeviceToDevice, stream);
      code != cudaSuccess)
    return ncclUnhandledCudaError;
  Collective collective(comm, "ncclAllGather");
  for (int peer = 0; peer < comm->size; ++peer) {
    collective.add(true, from, count, peer);
    collective.add(false, parts + count * static_cast<std::size_t>(peer), count, peer);
  }
  return add(comm, stream, collective.transfers());
}

ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  if (group.depth > 0) refuse("hetmoe has no collectives in groups");
  if (const auto code = begin("ncclBroadcast", comm, root, to, count); code != ncclSuccess)
    return code;
  if (from != to) refuse("hetmoe broadcasts in place");
  Collective collective(comm, "ncclBroadcast");
  if (root == comm->rank) {
    for (int peer = 0; peer < comm->size; ++peer) collective.add(true, from, count, peer);
  } else {
    collective.add(false, to, count, root);
  }
  return add(comm, stream, collective.transfers());
}
