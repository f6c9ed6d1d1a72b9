#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "core/data/child_process.h"
#include "launcher/doctor/asked_program.h"
#include "launcher/doctor/checks.h"

namespace hetmoe {
namespace {

constexpr double kVersionSeconds = 10;
constexpr double kStartSeconds = 50;
constexpr double kSlurmSeconds = 10;
/// What `hetmoe doctor --as-rank` prints on rank 0.
constexpr std::string_view kRanksMet = "2 ranks met";

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

bool is_set(const char* name) { return std::getenv(name) != nullptr; }

Finding started_ranks(const Surroundings& surroundings) {
  Command command =
      local_ranks_command(surroundings, 2, {surroundings.program, "doctor", "--as-rank"});
  command.environment.emplace_back("OMP_NUM_THREADS", "1");
  const Answer answer = ask_program(command, kStartSeconds);
  if (answer.is_good() && answer.text.find(kRanksMet) != std::string::npos)
    return ok("MPI ranks", "mpirun starts two ranks of this program, and they talk");
  return wrong("MPI ranks", "two ranks did not meet: " + answer.last_line(),
               "try 'mpirun --map-by :OVERSUBSCRIBE -np 2 hostname'; in a container look at "
               "/dev/shm and at what is installed beside openmpi-bin",
               ExitCode::kCommunication);
}

/// What a user has to know who starts mpirun without launch.
void add_root(const Surroundings& surroundings, Findings& findings) {
  if (!surroundings.is_root) return;
  if (is_set("OMPI_ALLOW_RUN_AS_ROOT") && is_set("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")) {
    findings.push_back(ok("MPI as root", "allowed by the environment"));
  } else {
    findings.push_back(warning("MPI as root", "a bare mpirun refuses root; hetmoe launch does not",
                               "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"));
  }
}

Finding tokenizer(const std::string& name, const std::string& package) {
  const std::string path = beside_running_program(name);
  if (::access(path.c_str(), X_OK) == 0) return ok("tokenizers", name + " lies beside hetmoe");
  return warning("tokenizers", "no " + name + " beside hetmoe: texts become bytes only",
                 "build it: " + package);
}

}  // namespace

Findings check_mpi(const Surroundings& surroundings) {
  const Answer version =
      ask_program({.environment = {}, .words = {"mpirun", "--version"}}, kVersionSeconds);
  if (!version.is_good())
    return {wrong("MPI",
                  version.started ? "mpirun --version fails: " + version.last_line()
                                  : "mpirun is not found: " + version.start_fault,
                  "apt-get install openmpi-bin, or load your cluster's module (PATH must hold "
                  "mpirun)",
                  ExitCode::kCommunication)};
  Findings findings;
  const std::string line = first_line(version.text);
  if (line.find("Open MPI") == std::string::npos) {
    findings.push_back(warning("MPI", line, "hetmoe is built for Open MPI 4.1 or 5"));
  } else {
    findings.push_back(ok("MPI", line));
  }
  findings.push_back(started_ranks(surroundings));
  add_root(surroundings, findings);
  return findings;
}

Findings check_tokenizers() {
  return {tokenizer("hetmoe-sentencepiece", "cmake --build build --target hetmoe-sentencepiece")};
}

Findings check_slurm() {
  const Answer answer =
      ask_program({.environment = {}, .words = {"sinfo", "--noheader", "--format=%P %D nodes %t"}},
                  kSlurmSeconds);
  const Answer batch =
      ask_program({.environment = {}, .words = {"sbatch", "--version"}}, kSlurmSeconds);
  if (!answer.started && !batch.started)
    return {ok("Slurm", "not installed; hetmoe launch needs none")};
  if (!answer.started || !batch.started)
    return {warning("Slurm", std::string(answer.started ? "sbatch" : "sinfo") + " is not found",
                    "install Slurm's client programs whole (slurm-client), or mend PATH")};
  if (!answer.is_good())
    return {warning("Slurm", "sinfo fails: " + answer.last_line(),
                    "ask on a login node; SLURM_CONF must name your cluster's slurm.conf")};
  if (!batch.is_good())
    return {warning("Slurm", "sbatch fails: " + batch.last_line(), "ask your cluster's people")};
  return {
      ok("Slurm", first_line(batch.text) + ", the controller answers: " + first_line(answer.text))};
}

}  // namespace hetmoe
