#include "runtime/run_config.h"

#include <algorithm>

#include "core/config/field.h"
#include "core/config/printer.h"
#include "core/config/reader.h"
#include "core/config/yaml_reader.h"
#include "runtime/run_config_rules.h"

namespace hetmoe {
namespace {

template <typename IsFaulty>
bool concerns_faulty_key(const ConfigFault& fault, const IsFaulty& is_faulty) {
  return is_faulty(fault.key) || std::any_of(fault.also.begin(), fault.also.end(), is_faulty);
}

RunConfig read_run_config(const ConfigNode& root, const std::vector<std::string>& settings) {
  RunConfig config;
  const std::vector<Field> fields = list_fields(config);
  ConfigReader reader(fields);
  reader.read_tree(root);
  for (const auto& setting : settings) reader.read_setting(setting);
  auto& experts = config.model.experts;
  if (!experts.widths.empty() && !reader.was_given("model.experts.count")) {
    experts.count = static_cast<int>(experts.widths.size());
  }
  // What was misread has its default now; nothing is said about that.
  const auto is_misread = [&](const std::string& key) { return reader.is_faulty(key); };
  auto faults = validate(config);
  std::erase_if(faults, [&](const auto& fault) { return concerns_faulty_key(fault, is_misread); });
  for (const auto& fault : faults) reader.add_fault(fault);
  reader.throw_faults();
  return config;
}

}  // namespace

RunConfig load_run_config(const std::string& path, const std::vector<std::string>& settings) {
  return read_run_config(read_yaml_file(path), settings);
}

RunConfig parse_run_config(const std::string& text, const std::string& source,
                           const std::vector<std::string>& settings) {
  return read_run_config(parse_yaml(text, source), settings);
}

std::vector<ConfigFault> validate(const RunConfig& config) {
  RunConfig copy = config;  // fields point at members that may be written
  std::vector<ConfigFault> faults = range_faults(list_fields(copy));
  const auto is_out_of_range = [out = faults](const std::string& key) {
    return std::any_of(out.begin(), out.end(), [&](const auto& fault) { return fault.key == key; });
  };
  for (const auto& fault : contradictions(config)) {
    if (!concerns_faulty_key(fault, is_out_of_range)) faults.push_back(fault);
  }
  return faults;
}

std::string resolved_yaml(const RunConfig& config) {
  RunConfig copy = config;
  return yaml_document(list_fields(copy));
}

std::string help_config() {
  RunConfig defaults;
  return reference_text(list_fields(defaults));
}

}  // namespace hetmoe
