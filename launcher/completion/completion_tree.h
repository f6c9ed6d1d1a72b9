#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace hetmoe {

/// What may follow an option.
struct CompletedValue {
  enum class Kind { kNothing, kWords, kKeys, kAnything };

  Kind kind = Kind::kNothing;
  std::vector<std::string> words;  ///< kWords; kKeys: "train.steps=", without a blank behind
};

struct CompletedOption {
  std::vector<std::string> names;  ///< "--set"; several spellings of one option
  std::string help;                ///< one line
  CompletedValue value;
};

/// A command as shells complete it.
struct CompletedCommand {
  std::vector<std::string> path;  ///< "hetmoe", "data", "prepare"
  std::string help;               ///< one line
  std::vector<std::string> subcommands;
  std::vector<CompletedOption> options;
};

/// All commands of a program, outer ones before those in them, from the command line's own
/// description. Hidden options are left out. `keys`: what --set may begin with.
std::vector<CompletedCommand> completed_commands(const CLI::App& app,
                                                 const std::vector<std::string>& keys);

/// Scripts for shells: what a user's start file reads.
std::string bash_completion(const std::vector<CompletedCommand>& commands);
std::string zsh_completion(const std::vector<CompletedCommand>& commands);
std::string fish_completion(const std::vector<CompletedCommand>& commands);

}  // namespace hetmoe
