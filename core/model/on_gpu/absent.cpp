// Built without CUDA: no tensor of a GPU exists, so nobody comes here.
#include "core/base/check.h"
#include "core/model/gpu_mixture.h"

namespace hetmoe {

std::unique_ptr<Mixture> make_gpu_mixture(std::unique_ptr<GpuTokenDispatcher>,
                                          const gpu::ProductTable&, int, GateUpProducts) {
  HETMOE_CHECK(false, "a mixture on a GPU without CUDA");
}

std::unique_ptr<GpuTokenDispatcher> make_local_gpu_token_dispatcher(const std::vector<Slice>&) {
  HETMOE_CHECK(false, "a dispatcher on a GPU without CUDA");
}

}  // namespace hetmoe
