#pragma once

#include <string>

#include "launcher/mpirun_command.h"

namespace hetmoe {

/// What a program said that was asked something.
struct Answer {
  bool started = false;     ///< it was found, and could be executed
  bool in_time = true;      ///< it ended by itself
  int code = 0;             ///< a shell's code: 128 + the signal when one ended it
  std::string text;         ///< standard output and standard error together, at most 64 KiB
  std::string start_fault;  ///< why it could not be started

  bool is_good() const { return started && in_time && code == 0; }
  /// The last line with words in it, or how it ended.
  std::string last_line() const;
};

/// Runs a program without a shell, found by PATH, with nothing on its standard input, and ends it
/// with all that it started after `seconds`. Blocking: until then. Never throws for what it does.
Answer ask_program(const Command& command, double seconds);

}  // namespace hetmoe
