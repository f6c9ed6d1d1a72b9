# CUDA (option HETMOE_CUDA, preset cuda): compiler and libraries from .deps (deploy/setup.sh --cuda). A driver is
# asked for when the program starts, not here.
file(GLOB nvidia_root ${HETMOE_TORCH_ROOT}/../nvidia)
cmake_path(NORMAL_PATH nvidia_root)
set(cuda_root ${nvidia_root}/cu13)
if(NOT EXISTS ${cuda_root}/bin/nvcc)
  message(FATAL_ERROR "CUDA not found at '${cuda_root}': run ./deploy/setup.sh --cuda")
endif()
if(NOT CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER ${cuda_root}/bin/nvcc)
endif()
set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;100" CACHE STRING "GPUs to compile for")
if(HETMOE_CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${HETMOE_CCACHE})
endif()
# CMake's own trial links; packages have no lib64, where it looks for the runtime.
set(CMAKE_CUDA_FLAGS_INIT -L${cuda_root}/lib)
enable_language(CUDA)
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # LibTorch's own, by name: two in a process would not know of each other
# CMake 3.25 does not know that this compiler has C++20.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA_STANDARD 20)

# cuda_libraries: headers and libraries, NCCL included, without LibTorch.
add_library(cuda_libraries INTERFACE)
target_include_directories(cuda_libraries SYSTEM INTERFACE ${cuda_root}/include ${nvidia_root}/nccl/include)
# By name and not by path: CMake would add an absolute run path (Dependencies.cmake has relative ones).
target_link_libraries(cuda_libraries INTERFACE
  -L${cuda_root}/lib -L${nvidia_root}/nccl/lib -l:libcudart.so.13 -l:libcublas.so.13 -l:libnccl.so.2)

# torch_cuda: LibTorch's own half. Nothing calls it by name, so the linker must be told to keep it.
add_library(torch_cuda INTERFACE)
target_link_libraries(torch_cuda INTERFACE torch_cpu cuda_libraries -L${HETMOE_TORCH_ROOT}/lib
  -Wl,--no-as-needed -ltorch_cuda -lc10_cuda -Wl,--as-needed)

# Headers alone. The package lies beside torch's.
add_library(cutlass INTERFACE)
target_include_directories(cutlass SYSTEM INTERFACE ${nvidia_root}/../cutlass_library/source/include)
