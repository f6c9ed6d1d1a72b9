#pragma once

// Private to this folder: the only include of MPI in the tree. Without MPI's retired C++ bindings,
// which want a library of their own.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include "parallel/communicator/operation_name.h"

namespace hetmoe {

/// Throws CommunicationError with the name, rank, size and MPI's own text unless `code` is success.
void check_mpi(int code, const OperationName& name);

/// Owns a communicator handle; empties its source when moved.
class MpiHandle {
 public:
  explicit MpiHandle(MPI_Comm communicator) : communicator_(communicator) {}
  MpiHandle(MpiHandle&& other) noexcept;
  MpiHandle& operator=(MpiHandle&&) = delete;
  ~MpiHandle();

  MPI_Comm get() const { return communicator_; }

 private:
  MPI_Comm communicator_ = MPI_COMM_NULL;
};

}  // namespace hetmoe
