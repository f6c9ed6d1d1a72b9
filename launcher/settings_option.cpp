#include "launcher/settings_option.h"

namespace hetmoe {
namespace {

CLI::Option* add(CLI::App& command, std::vector<std::string>& settings, const std::string& type,
                 const std::string& help) {
  return command.add_option("--set", settings, help)
      ->type_name(type)
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
}

}  // namespace

CLI::Option* add_settings(CLI::App& command, std::vector<std::string>& settings) {
  return add(command, settings, "a.b=c",
             "Set one configuration key; may be repeated, the last one counts");
}

CLI::Option* add_parallel_settings(CLI::App& command, std::vector<std::string>& settings) {
  return add(
      command, settings, "parallel.b=c|train.precision=c",
      "Set a key of parallel, such as parallel.threads, or train.precision; may be repeated");
}

}  // namespace hetmoe
