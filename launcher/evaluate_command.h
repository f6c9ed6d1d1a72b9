#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// `hetmoe evaluate`: the loss of a checkpoint on a token shard or on given sequences, or its score
/// in tasks, alone or under mpirun or srun. `action` is set to its work when the command line names
/// it; that is collective, with the same options on every rank, blocks until the result is printed
/// by rank 0, and gives the exit code. It is to be called before MPI has started, for a tokenizer
/// may be a process of its own.
void add_evaluate_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
