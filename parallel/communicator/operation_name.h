#pragma once

#include <cstdint>

namespace hetmoe {

/// What an error message needs to say where it happened.
struct OperationName {
  const char* operation = "";
  std::int64_t sequence = 0;  ///< number of the operation on its communicator, from 1
  int rank = 0;
  int size = 1;
};

}  // namespace hetmoe
