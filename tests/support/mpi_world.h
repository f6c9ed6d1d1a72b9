#pragma once

#include "parallel/communicator/communicator.h"
#include "parallel/communicator/mpi_communicator.h"

namespace hetmoe::test {

/// All ranks of a distributed test, made by mpi_main before the first test.
Communicator& test_world();

/// For tests that make communicators of their own.
MpiRuntime& test_runtime();

}  // namespace hetmoe::test
