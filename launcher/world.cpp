#include "launcher/world.h"

#include <exception>
#include <string>

#include "core/base/error.h"
#include "launcher/error_text.h"
#include "parallel/agreement.h"
#include "parallel/communicator/local_communicator.h"
#include "parallel/communicator/mpi_communicator.h"

namespace hetmoe {
namespace {

/// An error of this rank alone: the others wait in a collective, so the whole job must end.
int abort_job(Communicator& world, const std::string& message, ExitCode code) {
  if (world.size() == 1) {
    print_error(message);
    return static_cast<int>(code);
  }
  print_error("rank " + std::to_string(world.rank()) + ": " + message);
  world.abort(message, static_cast<int>(code));
  return static_cast<int>(code);  // never reached; the compiler does not see through the seam
}

/// The code is agreed: rank 0 ends with it, the others with 0.
int run_rank(const std::function<void(Communicator&)>& work, Communicator& world) {
  try {
    work(world);
    return 0;
  } catch (const AgreedError& error) {
    if (world.rank() != 0) return 0;
    print_error(error.what());
    return static_cast<int>(error.exit_code());
  } catch (const Error& error) {
    return abort_job(world, error.what(), error.exit_code());
  } catch (const std::exception& error) {
    return abort_job(world, describe(error), ExitCode::kInternal);
  }
}

}  // namespace

int run_on_world(const std::function<void(Communicator& world)>& work) {
  if (!MpiRuntime::is_launched()) {
    LocalWorld world(1);
    return run_rank(work, *world.communicator(0));
  }
  int argument_count = 0;
  char** arguments = nullptr;
  MpiRuntime runtime(argument_count, arguments);
  const auto world = runtime.world();
  return run_rank(work, *world);
}

}  // namespace hetmoe
