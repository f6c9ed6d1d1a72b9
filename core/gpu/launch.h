#pragma once

struct CUstream_st;
struct CUevent_st;

namespace hetmoe::gpu {

/// CUDA's own handles, without its headers. A null stream is the device's default one.
using Stream = CUstream_st*;
using Event = CUevent_st*;

/// Blocks of a launch, none of them zero: who has no work launches nothing.
struct Grid {
  unsigned blocks_x = 1;
  unsigned blocks_y = 1;
  unsigned threads = 1;  ///< of a block
};

/// Errors: DeviceError "NAME: TEXT" unless error is 0. For `launch` of the kernel language.
void check_launch(const char* name, int error, const char* text);

}  // namespace hetmoe::gpu
