#include "parallel/communicator/nccl_calls.h"

#include <string>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {

void check_nccl(const char* call, ncclResult_t result, const OperationName& name, ncclComm_t comm) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  const char* last = ncclGetLastError(comm);
  throw CommunicationError(detail::concatenate(name.operation, " (operation ", name.sequence,
                                               ") failed on rank ", name.rank, " of ", name.size,
                                               ": ", call, ": ", ncclGetErrorString(result), " (",
                                               last != nullptr ? last : "", ")"));
}

NcclGroupCall::NcclGroupCall(const OperationName& name, ncclComm_t comm)
    : name_(name), comm_(comm) {
  check_nccl("ncclGroupStart", ncclGroupStart(), name, comm);
}

// Left open, it would swallow whatever is called next.
NcclGroupCall::~NcclGroupCall() {
  if (open_) static_cast<void>(ncclGroupEnd());
}

void NcclGroupCall::end() {
  open_ = false;
  check_nccl("ncclGroupEnd", ncclGroupEnd(), name_, comm_);
}

}  // namespace hetmoe
