#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/base/clock.h"
#include "parallel/communicator/communicator.h"
#include "runtime/coordinator/network/coordinator_client.h"
#include "runtime/coordinator/network/coordinator_server.h"
#include "runtime/coordinator/run_coordinator.h"
#include "runtime/exporter/observed_coordinator.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// The coordinator as one rank reaches it: its own (rank 0, which serves it to the others), or one
/// over the network.
struct CoordinatorAccess {
  std::string run;  ///< the run's name
  std::unique_ptr<RunCoordinator> own;
  std::unique_ptr<RunSeries> series;  ///< of `own`, as the next
  std::unique_ptr<ObservedCoordinator> observed;
  std::unique_ptr<CoordinatorServer> server;
  std::unique_ptr<CoordinatorClient> client;
  std::filesystem::path file;  ///< RUN_DIR/coordinator.json, where it is of `own`

  Coordinator& coordinator() const;
};

/// The start of a run, as rank 0 holds it.
struct RunStartHold {
  int generation = 1;
  bool taken_over = false;  ///< the run's lock was another's, which is dead, silent or replaced
};

/// Starts a coordinator on rank 0, or takes the one that coordinator.address names, writes
/// coordinator.json and hands address, token and certificate to the other ranks over MPI: never by
/// a file or a command line. On one host it listens on loopback, in plaintext; in a Slurm job or on
/// several hosts on all addresses, with a certificate of its own (DESIGN, section 11).
/// Collective. Blocking. Errors: AgreedError.
CoordinatorAccess open_coordinator(const CoordinatorConfig& config, const RunDirectory& directory,
                                   const RunStartHold& hold, Communicator& control,
                                   const Clock& clock);

/// Ends the server and removes its coordinator.json.
void close_coordinator(CoordinatorAccess& access);

}  // namespace hetmoe
