// Built without CUDA: the device is refused before anybody comes here.
#include "core/base/check.h"
#include "runtime/calibration/equal_slices.h"

namespace hetmoe {

std::vector<std::unique_ptr<EqualSlices>> make_equal_layers_on_gpu(const at::TensorOptions&,
                                                                   const EqualSlicesShape&,
                                                                   std::int64_t,
                                                                   const gpu::ProductTable&) {
  HETMOE_CHECK(false, "experts on a GPU without CUDA");
}

}  // namespace hetmoe
