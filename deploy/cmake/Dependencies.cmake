# Third-party packages. Each has one owner in the tree (tests/layering checks it). What is missing is listed
# whole, so that who may not install it can ask for all of it at once (deploy/setup.sh --no-root).
set(missing)

# hetmoe_find(DEBIAN_PACKAGE NAME ...): as find_package.
macro(hetmoe_find debian_package name)
  find_package(${name} QUIET ${ARGN})
  if(NOT ${name}_FOUND)
    list(APPEND missing "${name} (Debian: ${debian_package})")
  endif()
endmacro()

# hetmoe_find_pkg_config(DEBIAN_PACKAGE PREFIX MODULE): what comes with a .pc file only.
macro(hetmoe_find_pkg_config debian_package prefix module)
  if(PkgConfig_FOUND)
    pkg_check_modules(${prefix} QUIET IMPORTED_TARGET ${module})
  endif()
  if(NOT ${prefix}_FOUND)
    list(APPEND missing "${module} (Debian: ${debian_package})")
  endif()
endmacro()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
hetmoe_find(libopenmpi-dev MPI COMPONENTS C)
hetmoe_find(libyaml-cpp-dev yaml-cpp)
hetmoe_find(nlohmann-json3-dev nlohmann_json)
hetmoe_find(libcli11-dev CLI11)
hetmoe_find(libspdlog-dev spdlog)
hetmoe_find("libprotobuf-dev protobuf-compiler" Protobuf)
# Their own configuration would stop at the first library that is not there.
hetmoe_find(libssl-dev OpenSSL COMPONENTS Crypto SSL)
hetmoe_find(zlib1g-dev ZLIB)
hetmoe_find("libgrpc++-dev protobuf-compiler-grpc" gRPC CONFIG)
hetmoe_find(prometheus-cpp-dev prometheus-cpp CONFIG)
hetmoe_find(pkg-config PkgConfig)
hetmoe_find_pkg_config(libcpp-httplib-dev CPP_HTTPLIB cpp-httplib)
hetmoe_find_pkg_config(libxxhash-dev XXHASH libxxhash)
hetmoe_find_pkg_config(libzstd-dev ZSTD libzstd)
hetmoe_find_pkg_config(coinor-libcbc-dev CBC cbc)
hetmoe_find_pkg_config(libsentencepiece-dev SENTENCEPIECE sentencepiece)
if(HETMOE_BUILD_TESTS)
  hetmoe_find(libgtest-dev GTest)
endif()

if(missing)
  list(JOIN missing ", " missing)
  message(FATAL_ERROR "missing libraries: ${missing}")
endif()

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
# Linked by -l: for a path CMake would add an absolute run path.
target_link_libraries(torch_cpu INTERFACE -L${HETMOE_TORCH_ROOT}/lib -ltorch_cpu -lc10)
# at::parallel_for is a template: without -fopenmp our copies of it run on one thread. It is for compiling only; what is
# linked is LibTorch's own libgomp, so that there is one pool of threads.
target_compile_options(torch_cpu INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
target_link_libraries(torch_cpu INTERFACE -l:libgomp.so.1)
# Programs lie in build/. A run path from there holds wherever a shared file system mounts the tree.
cmake_path(IS_PREFIX CMAKE_SOURCE_DIR ${HETMOE_TORCH_ROOT} NORMALIZE torch_is_ours)
cmake_path(GET HETMOE_TORCH_ROOT PARENT_PATH site_packages)
foreach(folder IN ITEMS ${HETMOE_TORCH_ROOT}/lib ${site_packages}/nvidia/cu13/lib ${site_packages}/nvidia/nccl/lib)
  if(torch_is_ours)
    cmake_path(RELATIVE_PATH folder BASE_DIRECTORY ${CMAKE_BINARY_DIR})
    set(folder "\$ORIGIN/${folder}")
  endif()
  list(APPEND CMAKE_BUILD_RPATH "${folder}")
endforeach()
target_link_options(torch_cpu INTERFACE -Wl,--allow-shlib-undefined)
