#include "launcher/completion/completion_tree.h"
#include "launcher/completion/shell_text.h"

namespace hetmoe {
namespace {

/// Words of the line that lead deeper into the commands: 'hetmoe data'|'hetmoe data prepare').
std::string places(const std::vector<CompletedCommand>& commands) {
  std::vector<std::string> quoted;
  for (const CompletedCommand& command : commands) {
    if (command.path.size() > 1) quoted.push_back(in_quotes(joined(command.path)));
  }
  return joined(quoted, "|");
}

/// A branch for each option that takes a value: what may follow it.
std::string value_branches(const std::vector<CompletedCommand>& commands) {
  std::string text;
  for (const CompletedCommand& command : commands) {
    for (const CompletedOption& option : command.options) {
      if (option.value.kind == CompletedValue::Kind::kNothing) continue;
      std::vector<std::string> quoted;
      for (const std::string& name : option.names)
        quoted.push_back(in_quotes(joined(command.path) + " " + name));
      const bool is_words = option.value.kind == CompletedValue::Kind::kWords;
      const bool is_keys = option.value.kind == CompletedValue::Kind::kKeys;
      text += "    " + joined(quoted, "|") + ") kind=" +
              (is_words  ? "words"
               : is_keys ? "keys"
                         : "files") +
              " offered=" + in_quotes(joined(option.value.words)) + " ;;\n";
    }
  }
  return text;
}

/// A branch for each command: its subcommands, and its options.
std::string command_branches(const std::vector<CompletedCommand>& commands) {
  std::string text;
  for (const CompletedCommand& command : commands) {
    std::vector<std::string> options;
    for (const CompletedOption& option : command.options)
      options.insert(options.end(), option.names.begin(), option.names.end());
    text += "    " + in_quotes(joined(command.path)) +
            ") commands=" + in_quotes(joined(command.subcommands)) +
            " options=" + in_quotes(joined(options)) + " ;;\n";
  }
  return text;
}

/// Where the cursor stands, from `place` (the command) and `previous`; the same in both shells.
std::string choices(const std::vector<CompletedCommand>& commands) {
  return "  case \"$place $previous\" in\n" + value_branches(commands) +
         "  esac\n"
         "  case \"$place\" in\n" +
         command_branches(commands) +
         "  esac\n"
         "  if [[ -z $kind ]]; then\n"
         "    if [[ $word == -* ]]; then kind=words offered=$options\n"
         "    elif [[ -n $commands ]]; then kind=words offered=$commands\n"
         "    else kind=files\n"
         "    fi\n"
         "  fi\n";
}

}  // namespace

std::string bash_completion(const std::vector<CompletedCommand>& commands) {
  return "# Completion of hetmoe for bash:  source <(hetmoe completion bash)\n"
         "_hetmoe() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  local place=hetmoe kind= offered= commands= options= i\n"
         "  # '=' is a word of its own in bash: --option=wo\n"
         "  if [[ $word == = ]]; then word=\n"
         "  elif [[ $previous == = ]]; then previous=${COMP_WORDS[COMP_CWORD-2]}\n"
         "  fi\n"
         "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
         "    case \"$place ${COMP_WORDS[i]}\" in\n"
         "      " +
         places(commands) +
         ") place+=\" ${COMP_WORDS[i]}\" ;;\n"
         "    esac\n"
         "  done\n" +
         choices(commands) +
         "  if [[ $kind == files ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$offered\" -- \"$word\"; compgen -f -- "
         "\"$word\")\n"
         "    compopt -o filenames 2>/dev/null\n"
         "  else\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$offered\" -- \"$word\")\n"
         "    if [[ $kind == keys ]]; then compopt -o nospace 2>/dev/null; fi\n"
         "  fi\n"
         "  return 0\n"
         "}\n"
         "complete -F _hetmoe hetmoe\n";
}

std::string zsh_completion(const std::vector<CompletedCommand>& commands) {
  return "#compdef hetmoe\n"
         "# Completion of hetmoe for zsh:  source <(hetmoe completion zsh), or as _hetmoe in a "
         "folder of fpath\n"
         "_hetmoe() {\n"
         "  local line_words=(\"${words[@]}\") word=${words[CURRENT]} "
         "previous=${words[CURRENT-1]}\n"
         "  local place=hetmoe kind= offered= commands= options= i\n"
         "  if [[ $word == --*=* ]]; then previous=${word%%=*}; compset -P '*='; word=${word#*=}; "
         "fi\n"
         "  for ((i = 2; i < CURRENT; ++i)); do\n"
         "    case \"$place ${line_words[i]}\" in\n"
         "      " +
         places(commands) +
         ") place+=\" ${line_words[i]}\" ;;\n"
         "    esac\n"
         "  done\n" +
         choices(commands) +
         "  if [[ $kind == keys ]]; then compadd -S '' -- ${=offered}\n"
         "  else\n"
         "    if [[ -n $offered ]]; then compadd -- ${=offered}; fi\n"
         "    if [[ $kind == files ]]; then _files; fi\n"
         "  fi\n"
         "}\n"
         "if [[ ${funcstack[1]} == _hetmoe ]]; then _hetmoe \"$@\"; else compdef _hetmoe hetmoe; "
         "fi\n";
}

}  // namespace hetmoe
