#include "launcher/completion_command.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "launcher/completion/completion_tree.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

std::vector<std::string> configuration_keys() {
  RunConfig config;
  std::vector<std::string> keys;
  for (const Field& field : list_fields(config)) keys.push_back(field.key);
  return keys;
}

int run_completion_command(const CLI::App& app, const std::string& shell) {
  const auto commands = completed_commands(app, configuration_keys());
  std::cout << (shell == "bash"  ? bash_completion(commands)
                : shell == "zsh" ? zsh_completion(commands)
                                 : fish_completion(commands))
            << std::flush;
  return 0;
}

}  // namespace

void add_completion_command(CLI::App& app, std::function<int()>& action) {
  auto* command =
      app.add_subcommand("completion", "Print a script that completes lines in a shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->type_name("")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "Examples:\n"
      "  source <(hetmoe completion bash)             in this shell, or in ~/.bashrc\n"
      "  source <(hetmoe completion zsh)              in ~/.zshrc, after compinit\n"
      "  hetmoe completion fish > ~/.config/fish/completions/hetmoe.fish");
  command->callback([shell, &app, &action] {
    action = [shell, &app] { return run_completion_command(app, *shell); };
  });
}

}  // namespace hetmoe
