#pragma once

namespace hetmoe {

/// From here on SIGUSR1, SIGTERM and the first SIGINT only ask this process to stop, any number of
/// times; a second SIGINT ends it at once. Under mpirun SIGUSR1 to mpirun reaches every rank, and
/// between SIGTERM and SIGKILL a rank has about a second.
void take_stop_signals();

/// Whether one has come.
bool stop_requested();

}  // namespace hetmoe
