#include "launcher/init_option.h"

namespace hetmoe {
namespace {

std::string refuse_empty(const std::string& path) {
  return path.empty() ? "it is empty, allowed: a checkpoint or run directory" : "";
}

bool names_checkpoint(const std::string& resume) {
  return !resume.empty() && resume != "auto" && resume != "never";
}

}  // namespace

void add_init(CLI::App& command, std::string& init, const std::string& resume) {
  command
      .add_option("--init", init,
                  "Begin at step 1 with the weights of this checkpoint or run directory, and "
                  "nothing else of it; a run that has saved goes on from its own checkpoint")
      ->type_name("CHECKPOINT")
      ->check(refuse_empty);
  command.parse_complete_callback([&init, &resume] {
    if (init.empty() || !names_checkpoint(resume)) return;
    throw CLI::ValidationError("--init " + init + " with --resume " + resume,
                               "allowed beside --init: --resume auto or never");
  });
}

}  // namespace hetmoe
