#include "parallel/communicator/mpi_calls.h"

#include <array>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {

void check_mpi(int code, const OperationName& name) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) length = 0;
  throw CommunicationError(detail::concatenate(
      name.operation, " (operation ", name.sequence, ") failed on rank ", name.rank, " of ",
      name.size, ": ",
      length > 0 ? std::string(text.data(), static_cast<std::size_t>(length)) : "unknown error",
      " (MPI code ", code, ")"));
}

MpiHandle::MpiHandle(MpiHandle&& other) noexcept
    : communicator_(std::exchange(other.communicator_, MPI_COMM_NULL)) {}

MpiHandle::~MpiHandle() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (communicator_ != MPI_COMM_NULL && finalized == 0) MPI_Comm_free(&communicator_);
}

}  // namespace hetmoe
