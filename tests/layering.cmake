# The rooms and who may include whom, checked on the text of the sources:
#   cmake -DTREE=DIR -P tests/layering.cmake
# Fails with one line per forbidden include, conditional compilation or absolute path.
# tests/layering_test.cmake proves that each rule can fail.
cmake_minimum_required(VERSION 3.25)

# A file includes files of its own top room and of those before it; tests may include anything.
set(top_rooms core parallel runtime launcher)

# Inside core: a room includes rooms of a lower level, and itself.
set(level_core/base 0)
set(level_core/config 1)
set(level_core/gpu 1)
set(level_core/tensor 2)
set(level_core/files 1)
set(level_core/data 2)
set(level_core/kernels 3)
set(level_core/optim 4)
set(level_core/model 4)

# Headers of plain structs: anyone may include them, and they include nothing but these rooms.
set(open_headers core/model/hyper_config.h core/model/hyper_parameters.h core/model/initial_values.h core/model/model_config.h
                 core/model/parameter_specs.h core/model/recompute.h core/model/slice.h core/model/workload.h core/data/data_config.h)
set(open_headers_may_include core/base core/config)

# Third-party owners: a pattern of the header's name, then the rooms (a top room stands for all in it).
set(third_parties mpi cuda coin yaml cli spdlog xxhash json sentencepiece torch google grpc protobuf openssl prometheus httplib zlib zstd)
set(pattern_mpi "^mpi\\.h$")
set(owners_mpi parallel/communicator)
# kernel_language.h: one of two headers of this name, as the compiler is CUDA's or plays it (tests/emulation).
set(pattern_cuda "^(cuda|cublas|nccl|cutlass/|cute/|kernel_language)")
set(owners_cuda core/gpu core/kernels parallel/communicator)
set(pattern_coin "^coin/")
set(owners_coin parallel/placement)
set(pattern_yaml "^yaml-cpp/")
set(owners_yaml core/config)
set(pattern_cli "^CLI/")
set(owners_cli launcher)
set(pattern_spdlog "^(spdlog|fmt)/")
set(owners_spdlog runtime/metrics)
set(pattern_xxhash "^xxh(ash|3)\\.h$")
set(owners_xxhash core/base core/files core/data parallel/placement)
set(pattern_json "^nlohmann/")
set(owners_json core/data core/files parallel/placement runtime/checkpoint runtime/coordinator runtime/exchange runtime/exporter runtime/metrics runtime/profile runtime/report
                runtime/tasks runtime/watchdog launcher)
set(pattern_sentencepiece "^sentencepiece")
set(owners_sentencepiece core/data launcher)
set(pattern_torch "^(ATen|c10|torch)/")
set(owners_torch core/tensor core/model core/kernels core/optim parallel/dispatch parallel/ownership
                 runtime/calibration runtime/inference runtime/trainer)
set(pattern_grpc "^(grpc|grpcpp)/")
set(owners_grpc runtime/coordinator)
set(pattern_protobuf "^google/protobuf/|\\.pb\\.h$")
set(owners_protobuf runtime/coordinator)
set(pattern_openssl "^openssl/")
set(owners_openssl runtime/coordinator)
set(pattern_prometheus "^prometheus/")
set(owners_prometheus runtime/exporter)
set(pattern_httplib "^httplib\\.h$")
set(owners_httplib runtime/exporter)
set(pattern_zlib "^zlib\\.h$")
set(owners_zlib core/data)
set(pattern_zstd "^zstd\\.h$")
set(owners_zstd core/data)
set(pattern_google "^(gtest|gmock|benchmark)/")
set(owners_google "")

# These cost many seconds in every file that sees them.
set(wide_headers torch/torch.h torch/all.h ATen/ATen.h)

set(faults 0)
macro(fault file text)
  message(NOTICE "layering: ${file}: ${text}")
  math(EXPR faults "${faults} + 1")
endmacro()

# core/model/router.cpp -> core/model; launcher/main.cpp -> launcher
function(room_of path out)
  cmake_path(GET path PARENT_PATH folder)
  string(REGEX REPLACE "^([^/]+(/[^/]+)?).*$" "\\1" room "${folder}")
  set(${out} "${room}" PARENT_SCOPE)
endfunction()

function(top_of path out)
  string(REGEX REPLACE "/.*$" "" top "${path}")
  set(${out} "${top}" PARENT_SCOPE)
endfunction()

macro(check_own_include file room included)
  top_of("${room}" from)
  top_of("${included}" to)
  room_of("${included}" target)
  list(FIND top_rooms "${from}" from_level)
  list(FIND top_rooms "${to}" to_level)
  if("${file}" IN_LIST open_headers AND NOT "${included}" IN_LIST open_headers
     AND NOT "${target}" IN_LIST open_headers_may_include)
    fault("${file}" "a header that anyone may include must not include ${included}")
  elseif("${included}" IN_LIST open_headers)
  elseif(to_level LESS 0)
    fault("${file}" "include \"${included}\" does not start at a room (core, parallel, runtime, launcher)")
  elseif(to_level GREATER from_level)
    fault("${file}" "${from} must not include ${included}")
  elseif("${from}" STREQUAL core AND "${to}" STREQUAL core AND NOT "${room}" STREQUAL "${target}")
    if(NOT DEFINED level_${room} OR NOT DEFINED level_${target})
      fault("${file}" "core room without a level in tests/layering.cmake: ${room} or ${target}")
    elseif(NOT level_${target} LESS level_${room})
      fault("${file}" "${room} must not include ${included}")
    endif()
  endif()
endmacro()

macro(check_third_party file room included)
  top_of("${room}" top)
  foreach(party IN LISTS third_parties)
    if("${included}" MATCHES "${pattern_${party}}")
      if("${party}" STREQUAL torch AND "${file}" MATCHES "/gpu/")
        fault("${file}" "what CUDA's compiler sees must not include <${included}>")
      elseif(NOT "${room}" IN_LIST owners_${party} AND NOT "${top}" IN_LIST owners_${party})
        fault("${file}" "${room} must not include <${included}> (owners: ${owners_${party}})")
      elseif("${party}" STREQUAL json AND NOT "${file}" MATCHES "\\.cpp$")
        fault("${file}" "<${included}> belongs into .cpp files only")
      elseif("${file}" IN_LIST open_headers)
        fault("${file}" "a header that anyone may include must not include <${included}>")
      endif()
    endif()
  endforeach()
endmacro()

macro(check_includes file)
  file(STRINGS "${TREE}/${file}" lines REGEX "^[ \t]*#[ \t]*include[ \t]*[\"<]")
  room_of("${file}" room)
  top_of("${file}" file_top)
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^[^\"<]*[\"<]([^\">]+).*$" "\\1" included "${line}")
    if("${included}" IN_LIST wide_headers AND NOT "${file}" MATCHES "precompiled[^/]*$")
      fault("${file}" "<${included}> is for the precompiled header only; take the narrow ones")
    endif()
    if("${file_top}" STREQUAL tests)
      continue()
    endif()
    top_of("${included}" included_top)
    if("${line}" MATCHES "include[ \t]*\"" OR "${included_top}" IN_LIST top_rooms
       OR "${included_top}" STREQUAL tests)
      check_own_include("${file}" "${room}" "${included}")
    else()
      check_third_party("${file}" "${room}" "${included}")
    endif()
  endforeach()
endmacro()

if(NOT IS_DIRECTORY "${TREE}/core")
  message(FATAL_ERROR "layering: TREE='${TREE}' holds no folder core")
endif()

file(GLOB_RECURSE sources RELATIVE "${TREE}"
  "${TREE}/core/*.h" "${TREE}/core/*.cpp" "${TREE}/core/*.cu"
  "${TREE}/parallel/*.h" "${TREE}/parallel/*.cpp" "${TREE}/parallel/*.cu"
  "${TREE}/runtime/*.h" "${TREE}/runtime/*.cpp" "${TREE}/runtime/*.cu"
  "${TREE}/launcher/*.h" "${TREE}/launcher/*.cpp"
  "${TREE}/tests/*.h" "${TREE}/tests/*.cpp" "${TREE}/tests/*.cu")
foreach(file IN LISTS sources)
  check_includes("${file}")
  if(NOT "${file}" MATCHES "^tests/")
    # A choice between two implementations is made in CMake, by compiling one file or the other.
    file(STRINGS "${TREE}/${file}" conditionals REGEX "^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)([^a-z]|$)")
    if(conditionals)
      fault("${file}" "conditional compilation; let CMake choose between two files")
    endif()
  endif()
endforeach()

file(GLOB_RECURSE texts RELATIVE "${TREE}"
  "${TREE}/core/*" "${TREE}/parallel/*" "${TREE}/runtime/*" "${TREE}/launcher/*" "${TREE}/tests/*"
  "${TREE}/deploy/*" "${TREE}/configs/*")
file(GLOB top_texts RELATIVE "${TREE}" "${TREE}/*.md" "${TREE}/*.txt" "${TREE}/*.json")
foreach(file IN LISTS texts top_texts)
  if("${file}" MATCHES "\\.(h|cpp|cu|cmake|txt|sh|py|md|yaml|json|sbatch)$")
    file(STRINGS "${TREE}/${file}" absolute REGEX "(^|[^A-Za-z0-9_.}])/(home|work)/")
    if(absolute)
      fault("${file}" "a path that exists on one machine only")
    endif()
  endif()
endforeach()

list(LENGTH sources checked)
if(checked EQUAL 0)
  message(FATAL_ERROR "layering: no source found under '${TREE}'")
endif()
if(faults GREATER 0)
  message(FATAL_ERROR "layering: ${faults} faults in ${checked} files")
endif()
message(STATUS "layering: ${checked} files, no fault")
