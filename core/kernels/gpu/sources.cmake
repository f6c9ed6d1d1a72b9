# What CUDA's compiler and the emulated device both compile.
set(gpu_kernel_sources
  batched_products.cpp
  bucket_sort.cu
  chosen_products.cpp
  cross_entropy.cu
  cublas_handle.cpp
  cutlass_products.cpp
  device_share.cpp
  dispatch.cu
  exclusive_sum.cu
  group_sums.cu
  pointer_arguments.cpp
  rms_norm.cu
  rotary.cu
  route_backward.cu
  route_select.cu
  route_statistics.cu
  rows.cu
  stream_products.cpp
  swiglu.cu)
list(TRANSFORM gpu_kernel_sources PREPEND core/kernels/gpu/)
