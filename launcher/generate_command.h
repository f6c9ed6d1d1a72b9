#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// `hetmoe generate`: text that a checkpoint continues, alone or under mpirun or srun. `action` is
/// set to its work when the command line names it; that is collective, with the same options on
/// every rank, blocks until rank 0 has printed the text, and gives the exit code. It is to be
/// called before MPI has started, for a tokenizer may be a process of its own.
void add_generate_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
