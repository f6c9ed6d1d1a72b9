#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// Adds `hetmoe doctor [CONFIG]` to the command line: looks at what a run needs of this machine
/// (launcher/doctor) and says what is wrong and what to do. The action gives the code that a run
/// would end with for the first wrong thing, else 0. Its process starts no MPI; the two ranks that
/// it starts to try MPI call it with --as-rank.
void add_doctor_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
