#pragma once

// Private to this folder: the only include of NCCL in the tree.
#include <nccl.h>

#include "parallel/communicator/operation_name.h"

namespace hetmoe {

/// Throws CommunicationError with the operation's name, the call and NCCL's own texts unless
/// `result` is success, or in progress, which calls without blocking are.
void check_nccl(const char* call, ncclResult_t result, const OperationName& name, ncclComm_t comm);

/// What is called between making it and `end` is one launch. After an error it closes the group.
class NcclGroupCall {
 public:
  NcclGroupCall(const OperationName& name, ncclComm_t comm);
  ~NcclGroupCall();
  NcclGroupCall(const NcclGroupCall&) = delete;
  NcclGroupCall& operator=(const NcclGroupCall&) = delete;
  void end();

 private:
  OperationName name_;
  ncclComm_t comm_;
  bool open_ = true;
};

}  // namespace hetmoe
