# Third-party packages. Each has one owner in the tree (tests/layering checks it).
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(spdlog REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(civetweb CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(CBC REQUIRED IMPORTED_TARGET cbc)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)

# LibTorch from the project-local environment. Linked by name and not by find_package(Torch), which
# demands CUDA where there is none. Its include folder also carries old google/protobuf and fmt
# headers, so targets that use it must not see Debian's Protobuf, gRPC or spdlog.
file(GLOB torch_roots ${CMAKE_SOURCE_DIR}/.deps/python/lib/python3*/site-packages/torch)
set(HETMOE_TORCH_ROOT "${torch_roots}" CACHE PATH "Folder of the torch package")
if(NOT EXISTS ${HETMOE_TORCH_ROOT}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch not found at '${HETMOE_TORCH_ROOT}': run ./deploy/setup.sh, or set HETMOE_TORCH_ROOT")
endif()
add_library(torch_cpu INTERFACE)
target_include_directories(torch_cpu SYSTEM INTERFACE
  ${HETMOE_TORCH_ROOT}/include ${HETMOE_TORCH_ROOT}/include/torch/csrc/api/include)
cmake_path(GET HETMOE_TORCH_ROOT PARENT_PATH site_packages)
target_link_libraries(torch_cpu INTERFACE
  ${HETMOE_TORCH_ROOT}/lib/libtorch_cpu.so ${HETMOE_TORCH_ROOT}/lib/libc10.so)
target_link_options(torch_cpu INTERFACE
  -Wl,-rpath,${HETMOE_TORCH_ROOT}/lib -Wl,-rpath,${site_packages}/nvidia/cu13/lib
  -Wl,--allow-shlib-undefined)
