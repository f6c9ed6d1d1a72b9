#pragma once

namespace hetmoe {

/// For use_gpu: from now on all large memory of the GPU is LibTorch's pool's. Once, before anything
/// lies there.
void begin_gpu_pool();

}  // namespace hetmoe
