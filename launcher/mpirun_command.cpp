#include "launcher/mpirun_command.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace hetmoe {
namespace {

constexpr const char* kLaunchId = "HETMOE_LAUNCH_ID";

using Words = std::vector<std::string>;

bool needs_quotes(std::string_view word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:,./-";
  return word.empty() || word.find_first_not_of(kPlain) != std::string_view::npos;
}

std::string quoted(const std::string& word) {
  if (!needs_quotes(word)) return word;
  std::string text = "'";
  for (const char letter : word) {
    text += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  }
  return text + "'";
}

/// Options of mpirun start with one or two dashes.
bool is_given(const Words& words, std::initializer_list<std::string_view> names) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
    if (!word.starts_with('-')) return false;
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    return std::find(names.begin(), names.end(), word) != names.end();
  });
}

/// Inside a job mpirun starts ranks on the hosts that the batch system names.
bool is_batch_job(const Surroundings& surroundings) {
  constexpr std::array kJobs = {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "PE_HOSTFILE"};
  return std::any_of(kJobs.begin(), kJobs.end(), surroundings.is_set);
}

bool is_one_machine(const LaunchOptions& options, const Surroundings& surroundings) {
  return options.hostfile.empty() && options.rankfile.empty() && !is_batch_job(surroundings) &&
         !is_given(options.mpirun_options,
                   {"host", "H", "hostfile", "machinefile", "default-hostfile", "app"});
}

void append(Words& words, std::initializer_list<std::string> more) {
  words.insert(words.end(), more);
}

void add_environment(Command& command, const Surroundings& surroundings, bool one_machine) {
  if (surroundings.is_root) {
    command.environment.emplace_back("OMPI_ALLOW_RUN_AS_ROOT", "1");
    command.environment.emplace_back("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  }
  command.environment.emplace_back(kLaunchId, surroundings.launch_id);
  if (!one_machine) return;
  // Plain shared memory. What else Open MPI would probe is slow or noisy in a container.
  const std::array<std::pair<const char*, const char*>, 4> settings = {
      {{"OMPI_MCA_pml", "ob1"},
       {"OMPI_MCA_btl", "self,vader"},
       {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
       {"OMPI_MCA_mpi_yield_when_idle", "1"}}};
  for (const auto& [name, value] : settings) {
    if (!surroundings.is_set(name)) command.environment.emplace_back(name, value);
  }
}

void add_hosts(Words& words, const LaunchOptions& options, const AttemptShape& shape) {
  if (!shape.hosts.empty()) {
    append(words, {"--host", shape.hosts});
  } else if (!options.hostfile.empty()) {
    append(words, {"--hostfile", options.hostfile});
  }
  if (!options.rankfile.empty()) append(words, {"--rankfile", options.rankfile});
}

void add_train(Words& words, const LaunchOptions& options, const Surroundings& surroundings,
               const AttemptShape& shape) {
  append(words, {surroundings.program, "train", options.config_path, "--run-dir", options.run_dir});
  if (!shape.resume.empty()) append(words, {"--resume", shape.resume});
  if (!options.init.empty()) append(words, {"--init", options.init});
  for (const std::string& setting : options.settings) append(words, {"--set", setting});
}

}  // namespace

std::string shell_line(const Command& command) {
  std::string line;
  for (const auto& [name, value] : command.environment) line += name + "=" + quoted(value) + " ";
  for (const std::string& word : command.words) line += quoted(word) + " ";
  if (!line.empty()) line.pop_back();
  return line;
}

Command mpirun_command(const LaunchOptions& options, const Surroundings& surroundings,
                       const AttemptShape& shape) {
  const bool one_machine = is_one_machine(options, surroundings);
  Command command{.environment = {}, .words = {"mpirun"}};
  add_environment(command, surroundings, one_machine);
  Words& words = command.words;
  const bool by_numa =
      one_machine && surroundings.numa_nodes > 1 && shape.ranks % surroundings.numa_nodes == 0;
  if (!one_machine) {
    append(words, {"-x", kLaunchId});  // ranks on other hosts get only what is named
  } else if (!is_given(options.mpirun_options, {"map-by", "oversubscribe", "nooversubscribe"})) {
    append(words, {"--map-by", by_numa ? "numa:OVERSUBSCRIBE" : ":OVERSUBSCRIBE"});
  }
  // Who says where ranks go means them to be bound there.
  if (options.rankfile.empty() &&
      !is_given(options.mpirun_options, {"bind-to", "map-by", "cpus-per-rank", "cpu-set"})) {
    append(words, {"--bind-to", by_numa ? "numa:overload-allowed" : "none"});
  }
  add_hosts(words, options, shape);
  words.insert(words.end(), options.mpirun_options.begin(), options.mpirun_options.end());
  append(words, {"-np", std::to_string(shape.ranks)});
  add_train(words, options, surroundings, shape);
  return command;
}

Command local_ranks_command(const Surroundings& surroundings, int ranks,
                            const std::vector<std::string>& words) {
  Command command{.environment = {}, .words = {"mpirun"}};
  add_environment(command, surroundings, true);
  append(command.words,
         {"--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", "-np", std::to_string(ranks)});
  command.words.insert(command.words.end(), words.begin(), words.end());
  return command;
}

}  // namespace hetmoe
