#pragma once

// Private to NCCL's double.

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/emulation/include/nccl.h"
#include "tests/emulation/nccl_messages.h"
#include "tests/emulation/streams.h"

namespace hetmoe::emulation {

/// What works on streams still need when their communicator has gone.
struct Fate {
  std::atomic<bool> aborted = false;
  std::atomic<int> error = ncclSuccess;
  std::atomic<int> on_stream = 0;  ///< launches that have not ended
};

struct Launch {
  std::shared_ptr<Transfers> transfers = std::make_shared<Transfers>();
  cudaStream_t stream = nullptr;
};

}  // namespace hetmoe::emulation

struct ncclComm {
  int rank = 0;
  int size = 0;
  int tag = 0;
  std::optional<hetmoe::emulation::Meeting> meeting;  ///< until all have come
  std::vector<int> processes;                         ///< by rank
  int polls = 0;                                      ///< answers of "in progress" that are left
  bool finalising = false;
  bool gone = false;
  std::uint64_t collectives = 0;
  std::vector<hetmoe::emulation::Launch> late;  ///< not on a stream yet
  CUevent_st last = {};                         ///< the end of what it has on a stream
  std::shared_ptr<hetmoe::emulation::Fate> fate = std::make_shared<hetmoe::emulation::Fate>();
};

namespace hetmoe::emulation {

/// `code`, which ncclGetLastError explains from now on.
ncclResult_t failed(ncclResult_t code, const std::string& text);
/// What a test has asked for.
ncclResult_t failure_of(const char* function);
/// The real one would read memory that is another's by now.
void check_alive(ncclComm_t comm, const char* function);
/// Gives the communicator work, which its stream gets a little later.
ncclResult_t launch(ncclComm_t comm, Launch work);

int largest_group();

}  // namespace hetmoe::emulation
