// NCCL's communicators for processes that play one GPU each (include/nccl.h), over MPI.
#include "tests/emulation/nccl.h"

#include <cstring>
#include <mutex>
#include <utility>

#include "tests/emulation/nccl_state.h"

using namespace hetmoe::emulation;

namespace {

// Answers of "in progress" before a communicator or a launch is ready: the real one's thread is
// late.
constexpr int kPolls = 3;
constexpr int kFirstTag = 100000;
constexpr int kTagsOfAProcess = 10000;

struct IdContent {
  int root;
  int tag;
};

std::mutex communicators_mutex;
std::vector<ncclComm_t> communicators;  ///< also those that have gone: to tell a use after that
std::string last_error = "no error";
int most_group_operations = 2048;

/// A device works on all its streams at once: whoever waits for one lets the others go on.
void let_device_work() {
  static thread_local bool inside = false;
  if (inside) return;
  inside = true;
  std::vector<CUevent_st> ends;
  {
    const std::scoped_lock guard(communicators_mutex);
    for (const ncclComm_t comm : communicators)
      if (comm->fate->on_stream > 0) ends.push_back(comm->last);
  }
  for (const CUevent_st& end : ends) advance(end);
  inside = false;
}

void put_on_stream(ncclComm_t comm, Launch launch) {
  cudaStream_t stream = launch.stream != nullptr ? launch.stream : default_stream();
  ++comm->fate->on_stream;
  enqueue(stream, "NCCL", [transfers = launch.transfers, fate = comm->fate] {
    const bool ended = fate->aborted || (fate->error == ncclSuccess && transfers->advance());
    if (ended)
      --fate->on_stream;
    else
      let_device_work();
    return ended;
  });
  const std::scoped_lock guard(communicators_mutex);
  comm->last = {stream, stream->enqueued};
}

}  // namespace

namespace hetmoe::emulation {

ObservedNccl& observed_nccl() {
  static auto* const instance = new ObservedNccl;
  return *instance;
}

void fail_asynchronously(int code) {
  const std::scoped_lock guard(communicators_mutex);
  for (const ncclComm_t comm : communicators)
    if (!comm->gone) comm->fate->error = code;
}

void limit_group_operations(int operations) { most_group_operations = operations; }

int largest_group() { return most_group_operations; }

ncclResult_t failed(ncclResult_t code, const std::string& text) {
  last_error = text;
  return code;
}

ncclResult_t failure_of(const char* function) {
  const int code = take_failure(function);
  return code == 0
             ? ncclSuccess
             : failed(static_cast<ncclResult_t>(code), std::string(function) + " was told to");
}

void check_alive(ncclComm_t comm, const char* function) {
  if (comm == nullptr || comm->gone)
    refuse(std::string(function) + " of a communicator that has gone");
}

ncclResult_t launch(ncclComm_t comm, Launch work) {
  ++observed_nccl().launches;
  comm->late.push_back(std::move(work));
  comm->polls = kPolls;
  return ncclInProgress;
}

}  // namespace hetmoe::emulation

// The device goes on while its host waits in MPI: NCCL's double stands before MPI's own call, as
// MPI lets profilers do. All of hetmoe's waiting asks this one.
extern "C" int MPI_Testall(int count, MPI_Request requests[], int* flag, MPI_Status statuses[]) {
  let_device_work();
  return PMPI_Testall(count, requests, flag, statuses);
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (const auto code = failure_of("ncclGetUniqueId"); code != ncclSuccess) return code;
  static int made = 0;
  IdContent content{};
  MPI_Comm_rank(MPI_COMM_WORLD, &content.root);
  content.tag = kFirstTag + content.root * kTagsOfAProcess + made++;
  *id = {};
  std::memcpy(id->internal, &content, sizeof content);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (const auto code = failure_of("ncclCommInitRankConfig"); code != ncclSuccess) return code;
  if (config->magic != 0xcafebeef || config->blocking != 0)
    refuse("communicators are made without blocking");
  IdContent content{};
  std::memcpy(&content, id.internal, sizeof content);
  *comm = new ncclComm;
  (*comm)->rank = rank;
  (*comm)->size = ranks;
  (*comm)->tag = content.tag;
  (*comm)->polls = kPolls;
  (*comm)->meeting.emplace(content.tag, content.root, ranks, rank);
  ++observed_nccl().created;
  const std::scoped_lock guard(communicators_mutex);
  communicators.push_back(*comm);
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  check_alive(comm, "ncclCommGetAsyncError");
  if (const auto code = failure_of("ncclCommGetAsyncError"); code != ncclSuccess) return code;
  *error = static_cast<ncclResult_t>(comm->fate->error.load());
  if (*error != ncclSuccess) return ncclSuccess;
  *error = ncclInProgress;
  if (comm->meeting) {
    if (const int code = take_failure("initialisation"); code != 0) {
      comm->fate->error = code;
      *error = failed(static_cast<ncclResult_t>(code), "initialisation was told to");
      return ncclSuccess;
    }
    if (!comm->meeting->advance()) return ncclSuccess;
    comm->processes = comm->meeting->processes();
    if (--comm->polls > 0) return ncclSuccess;
    comm->meeting.reset();
  }
  if (!comm->late.empty()) {
    if (--comm->polls > 0) return ncclSuccess;
    for (Launch& work : comm->late) put_on_stream(comm, std::move(work));
    comm->late.clear();
  }
  if (comm->finalising && comm->fate->on_stream > 0) {
    let_device_work();
    return ncclSuccess;
  }
  *error = ncclSuccess;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  check_alive(comm, "ncclCommFinalize");
  if (const auto code = failure_of("ncclCommFinalize"); code != ncclSuccess) return code;
  comm->finalising = true;
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  check_alive(comm, "ncclCommDestroy");
  if (const auto code = failure_of("ncclCommDestroy"); code != ncclSuccess) return code;
  if (!comm->finalising || comm->fate->on_stream > 0)
    refuse("a communicator is destroyed that still works");
  comm->gone = true;
  ++observed_nccl().destroyed;
  return ncclSuccess;
}

// What it has on streams ends without having moved anything more.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  check_alive(comm, "ncclCommAbort");
  comm->gone = true;
  comm->fate->aborted = true;
  ++observed_nccl().aborted;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
  }
  return "unknown result code";
}

const char* ncclGetLastError(ncclComm_t) { return last_error.c_str(); }
