// Built without CUDA.
#include "core/base/check.h"
#include "parallel/communicator/nccl_communicator.h"

namespace hetmoe {

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator>,
                                                     const NcclOptions&) {
  HETMOE_CHECK(false, "NCCL without CUDA");
}

}  // namespace hetmoe
