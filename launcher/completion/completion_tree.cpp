#include "launcher/completion/completion_tree.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <sstream>

namespace hetmoe {
namespace {

constexpr std::size_t kLongestHelp = 72;

/// The first clause, short enough for one line beside a name.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  text = text.substr(0, text.find_first_of(";("));
  if (text.size() > kLongestHelp) text = text.substr(0, text.rfind(' ', kLongestHelp));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, separator);) words.push_back(word);
  return words;
}

bool is_lower_word(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char letter) {
    return std::islower(letter) != 0 || letter == '-';
  });
}

/// A type name is "NAME:{a,b}" where a check allows words, and "auto|never|PATH" where we wrote it.
std::vector<std::string> allowed_words(const std::string& type) {
  const std::size_t begin = type.find('{');
  const std::size_t end = type.find('}');
  if (begin != std::string::npos && end != std::string::npos && begin < end)
    return split(type.substr(begin + 1, end - begin - 1), ',');
  std::vector<std::string> words;
  for (const std::string& word : split(type, '|')) {
    if (is_lower_word(word)) words.push_back(word);
  }
  return words;
}

bool is_set(const CLI::Option& option) { return option.check_lname("set"); }

/// Whether an option of type "a.b=c", or of some keys as "parallel.b=c|train.precision=c", takes a
/// key.
bool takes_key(const std::string& type, const std::string& key) {
  for (const std::string& alternative : split(type, '|')) {
    const std::string name = alternative.substr(0, alternative.find('='));
    if (name == "a.b" || name == key) return true;
    if (name.ends_with(".b") && key.starts_with(name.substr(0, name.size() - 1))) return true;
  }
  return false;
}

CompletedValue value_of(const CLI::Option& option, const std::vector<std::string>& keys) {
  CompletedValue value;
  if (option.get_items_expected_max() == 0) return value;  // a flag
  const std::string type = option.get_type_name();
  if (is_set(option)) {
    value.kind = CompletedValue::Kind::kKeys;
    for (const std::string& key : keys) {
      if (takes_key(type, key)) value.words.push_back(key + "=");
    }
    return value;
  }
  value.words = allowed_words(type);
  const bool is_closed = type.find('{') != std::string::npos && !value.words.empty();
  value.kind = is_closed ? CompletedValue::Kind::kWords : CompletedValue::Kind::kAnything;
  return value;
}

CompletedOption option_of(const CLI::Option& option, const std::vector<std::string>& keys) {
  CompletedOption completed{.names = {}, .help = one_line(option.get_description()), .value = {}};
  for (const std::string& name : option.get_lnames()) completed.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) completed.names.push_back("-" + name);
  completed.value = value_of(option, keys);
  return completed;
}

void add_commands(const CLI::App& app, std::vector<std::string> path,
                  const std::vector<std::string>& keys, std::vector<CompletedCommand>& commands) {
  path.push_back(app.get_name());
  CompletedCommand command{
      .path = path, .help = one_line(app.get_description()), .subcommands = {}, .options = {}};
  const auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* subcommand : subcommands)
    command.subcommands.push_back(subcommand->get_name());
  for (const CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (option->get_group().empty()) continue;
    if (option->nonpositional()) {
      command.options.push_back(option_of(*option, keys));
    } else if (type.find('{') != std::string::npos) {
      command.subcommands = allowed_words(type);
    }
  }
  commands.push_back(std::move(command));
  for (const CLI::App* subcommand : subcommands) add_commands(*subcommand, path, keys, commands);
}

}  // namespace

std::vector<CompletedCommand> completed_commands(const CLI::App& app,
                                                 const std::vector<std::string>& keys) {
  std::vector<CompletedCommand> commands;
  add_commands(app, {}, keys, commands);
  return commands;
}

}  // namespace hetmoe
