#include <algorithm>
#include <cstddef>

#include "launcher/completion/completion_tree.h"
#include "launcher/completion/shell_text.h"

namespace hetmoe {
namespace {

/// In single quotes as fish reads them: only these two are special inside.
std::string fish_quoted(const std::string& text) {
  std::string out = "'";
  for (const char letter : text) {
    if (letter == '\'' || letter == '\\') out += '\\';
    out += letter;
  }
  return out + "'";
}

/// When a command's words are offered: all of its path has been typed, none of what lies deeper.
std::string condition(const CompletedCommand& command) {
  std::vector<std::string> parts;
  for (std::size_t i = 1; i < command.path.size(); ++i)
    parts.push_back("__fish_seen_subcommand_from " + command.path[i]);
  if (!command.subcommands.empty())
    parts.push_back("not __fish_seen_subcommand_from " + joined(command.subcommands));
  return fish_quoted(parts.empty() ? "true" : joined(parts, "; and "));
}

std::string option_line(const CompletedCommand& command, const CompletedOption& option) {
  std::string line = "complete -c hetmoe -n " + condition(command);
  for (const std::string& name : option.names)
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  using Kind = CompletedValue::Kind;
  if (option.value.kind == Kind::kWords || option.value.kind == Kind::kKeys) line += " -x";
  if (option.value.kind == Kind::kAnything) line += " -r -F";
  if (!option.value.words.empty()) line += " -a " + fish_quoted(joined(option.value.words));
  return line + " -d " + fish_quoted(option.help) + "\n";
}

}  // namespace

std::string fish_completion(const std::vector<CompletedCommand>& commands) {
  std::string text = "# Completion of hetmoe for fish:  hetmoe completion fish | source\n";
  for (const CompletedCommand& command : commands) {
    for (const CompletedCommand& inner : commands) {
      const bool is_inside =
          inner.path.size() == command.path.size() + 1 &&
          std::equal(command.path.begin(), command.path.end(), inner.path.begin());
      if (is_inside)
        text += "complete -c hetmoe -f -n " + condition(command) + " -a " +
                fish_quoted(inner.path.back()) + " -d " + fish_quoted(inner.help) + "\n";
    }
    for (const CompletedOption& option : command.options) text += option_line(command, option);
  }
  return text;
}

}  // namespace hetmoe
