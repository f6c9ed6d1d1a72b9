# What the compiler and linker are told, once, for every target.
find_program(HETMOE_CCACHE ccache)
if(HETMOE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # ccache sees through the precompiled header only with these sloppiness flags.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_DEPEND=true ${HETMOE_CCACHE})
endif()
find_program(HETMOE_MOLD mold)
if(HETMOE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# A LibTorch source takes about 1 GB to compile: as many at once as memory allows.
cmake_host_system_information(RESULT memory_mebibytes QUERY TOTAL_PHYSICAL_MEMORY)
math(EXPR torch_jobs "${memory_mebibytes} / 2000")
if(torch_jobs LESS 1)
  set(torch_jobs 1)
endif()
set_property(GLOBAL PROPERTY JOB_POOLS torch_sources=${torch_jobs})

set(warnings -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Winvalid-pch
  -Wno-missing-field-initializers)  # designated initialisers leave defaults on purpose
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND warnings -Wno-restrict)  # false alarms of GCC 12 on "text" + std::string
endif()
if(HETMOE_WARNINGS_AS_ERRORS)
  list(APPEND warnings -Werror)
endif()
add_library(hetmoe_warnings INTERFACE)
target_compile_options(hetmoe_warnings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>")

# Hot loops are compiled for three instruction sets and chosen at start (function multiversioning);
# sanitizers cannot follow the resolver, so their builds take the plain version.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND NOT CMAKE_CXX_FLAGS MATCHES "fsanitize")
  add_compile_definitions(
    "$<$<COMPILE_LANGUAGE:CXX>:HETMOE_VECTORIZED=__attribute__((target_clones(\"arch=x86-64-v4\",\"arch=x86-64-v3\",\"default\")))>")
else()
  add_compile_definitions("$<$<COMPILE_LANGUAGE:CXX>:HETMOE_VECTORIZED=>")
endif()

# Neither changes a value: errno of math functions and floating-point traps are not used here, and
# without them loops with sqrt and comparisons vectorise.
add_compile_options(-fno-math-errno -fno-trapping-math)
