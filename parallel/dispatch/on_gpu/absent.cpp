// Built without CUDA: no tensor of a GPU exists, so nobody comes here.
#include "core/base/check.h"
#include "parallel/dispatch/gpu_all_to_all.h"

namespace hetmoe {

std::unique_ptr<PlacedGpuTokenDispatcher> make_all_to_all_gpu_token_dispatcher(Communicator&,
                                                                               const Placement&,
                                                                               int,
                                                                               const RankNodes&) {
  HETMOE_CHECK(false, "a dispatcher on a GPU without CUDA");
}

}  // namespace hetmoe
