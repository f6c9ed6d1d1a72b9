#include "launcher/doctor_command.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/host_name.h"
#include "launcher/doctor/checks.h"
#include "launcher/doctor/finding.h"
#include "launcher/settings_option.h"
#include "launcher/surroundings.h"
#include "launcher/world.h"
#include "parallel/agreement.h"
#include "parallel/communicator/mpi_communicator.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

struct DoctorOptions {
  std::string config_path;
  std::vector<std::string> settings;
  std::string run_dir = ".";
  bool json = false;
  bool as_rank = false;
};

/// One of the ranks that check_mpi starts.
int meet_other_ranks() {
  return run_on_world([](Communicator& world) {
    const auto hosts = gather_texts(world, host_name());
    if (world.rank() == 0) std::cout << hosts.size() << " ranks met" << std::endl;
  });
}

void add(Findings& findings, Findings more) {
  findings.insert(findings.end(), std::make_move_iterator(more.begin()),
                  std::make_move_iterator(more.end()));
}

/// Addresses with a port that somebody chose.
void add_asked_address(const std::string& address, std::vector<std::string>& asked) {
  if (!address.empty() && address != "none" && !address.ends_with(":0")) asked.push_back(address);
}

/// The configuration's finding; addresses that it wants to listen on go into `asked`.
Finding check_configuration(const DoctorOptions& options, std::vector<std::string>& asked) {
  try {
    const RunConfig config = load_run_config(options.config_path, options.settings);
    if (config.coordinator.address.empty()) add_asked_address(config.coordinator.listen, asked);
    add_asked_address(config.metrics.listen, asked);
    return ok("configuration", options.config_path + " holds no fault");
  } catch (const ConfigError& error) {
    return wrong("configuration", error.what(), "hetmoe train --help-config explains every key",
                 ExitCode::kConfiguration);
  }
}

int run_doctor_command(const DoctorOptions& options) {
  if (options.as_rank) return meet_other_ranks();
  if (MpiRuntime::is_launched())
    throw ConfigError("hetmoe doctor starts mpirun itself: call it without mpirun or srun");
  Findings findings;
  std::vector<std::string> asked;
  if (!options.config_path.empty()) findings.push_back(check_configuration(options, asked));
  add(findings, check_machine());
  add(findings, check_folder(options.run_dir));
  add(findings, check_ports(asked));
  add(findings, check_mpi(find_surroundings()));
  add(findings, check_slurm());
  add(findings, check_tokenizers());
  add(findings, check_library());
  add(findings, check_gpu());
  std::cout << (options.json ? findings_json(findings) : findings_text(findings)) << std::flush;
  return exit_code_of(findings);
}

}  // namespace

void add_doctor_command(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand(
      "doctor", "Look at MPI, LibTorch, GPUs, ports, disk and Slurm, and say what is wrong");
  auto options = std::make_shared<DoctorOptions>();
  auto* config = command
                     ->add_option("CONFIG", options->config_path,
                                  "Also look at this configuration and the ports it names")
                     ->type_name("");
  add_settings(*command, options->settings)->needs(config);
  command
      ->add_option("--run-dir", options->run_dir,
                   "Folder that runs are to write into (default: the working directory)")
      ->type_name("DIR");
  command->add_flag("--json", options->json, "Print one JSON document");
  command->add_flag("--as-rank", options->as_rank)->group("");  // for the ranks it starts itself
  command->footer(
      "Ends with 0, or with the code that a run would end with for the first wrong thing.\n"
      "Example:\n  hetmoe doctor configs/tiny.yaml --run-dir runs");
  command->callback(
      [options, &action] { action = [options] { return run_doctor_command(*options); }; });
}

}  // namespace hetmoe
