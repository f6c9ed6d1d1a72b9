#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace hetmoe {

/// A host and how many ranks it takes.
struct Host {
  std::string name;
  int slots = 0;

  bool operator==(const Host&) const = default;
};

/// Which of these hosts answer, in their order.
using HostProbe = std::function<std::vector<bool>(const std::vector<std::string>& names)>;

/// Reads Open MPI's hostfile as far as --shrink needs it: a line is a name and `slots=N`, perhaps
/// `max_slots=N`; `#` starts a comment; a name that comes again adds its slots. `file` is named in
/// errors. Errors: ConfigError.
std::vector<Host> parse_hostfile(std::string_view text, const std::string& file);

/// The same of a file. Errors: ConfigError.
std::vector<Host> read_hostfile(const std::string& path);

/// Those that answer; all of them if none does, since then more likely this host is cut off.
std::vector<Host> answering(const std::vector<Host>& hosts, const HostProbe& probe);

int total_slots(const std::vector<Host>& hosts);

/// "a:2,b:4", as `mpirun --host` takes it.
std::string host_option(const std::vector<Host>& hosts);

/// Runs `ssh -o BatchMode=yes -o ConnectTimeout=5 HOST true` for each that is not this host, 32 at
/// a time. Blocking: at most 15 s for each 32 hosts. No ssh: none answers.
std::vector<bool> probe_by_ssh(const std::vector<std::string>& names);

}  // namespace hetmoe
