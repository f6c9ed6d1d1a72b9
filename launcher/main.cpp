#include <exception>

#include "core/base/error.h"
#include "launcher/command_line.h"
#include "launcher/error_text.h"

int main(int argc, char** argv) {
  try {
    return hetmoe::run_command_line(argc, argv);
  } catch (const hetmoe::Error& error) {
    hetmoe::print_error(error.what());
    return static_cast<int>(error.exit_code());
  } catch (const std::exception& error) {
    hetmoe::print_error(hetmoe::describe(error));
    return static_cast<int>(hetmoe::ExitCode::kInternal);
  }
}
