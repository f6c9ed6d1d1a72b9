#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// `hetmoe data prepare`: text to token shards. Progress goes to standard error, the result to
/// standard output, for people or as one JSON document. `action` is set to its work when the
/// command line names it; that gives the exit code. Errors: those of prepare().
void add_prepare_command(CLI::App& data, std::function<int()>& action);

}  // namespace hetmoe
