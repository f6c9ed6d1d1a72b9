#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/config/fault.h"
#include "core/config/field.h"
#include "core/config/tree.h"

namespace hetmoe {

/// Fills the fields of a configuration from a tree and then from settings, and collects every
/// fault with the place where it was written.
class ConfigReader {
 public:
  /// `fields` list the members to fill; they outlive the reader.
  explicit ConfigReader(const std::vector<Field>& fields) : fields_(fields) {}

  /// Unknown keys, keys given twice and values of a wrong type become faults; the tree's origins
  /// name the places. Errors: ConfigError when it is no section.
  void read_tree(const ConfigNode& root);
  /// One "a.b=value"; what it sets wins over earlier values, but cannot be a section.
  void read_setting(const std::string& setting);

  bool was_given(const std::string& key) const { return given_.contains(key); }
  bool is_faulty(const std::string& key) const;

  /// A fault found later, placed where its key, or else one of the `also` keys, was written.
  void add_fault(const ConfigFault& fault);

  /// Errors: ConfigError with one line per fault, in the order of the file and then of the
  /// settings, when there is a fault.
  void throw_faults() const;

 private:
  struct Fault {
    ConfigOrigin origin;
    std::string key;
    std::string message;
  };

  const Field* find(const std::string& key) const;
  bool is_section(const std::string& key) const;
  void read_section(const ConfigNode& section, const std::string& prefix);
  void read_value(const ConfigNode& node, const std::string& key);
  void assign_field(const Field& field, const ConfigNode& node);
  void refuse(const ConfigOrigin& origin, const std::string& key, const std::string& message);

  const std::vector<Field>& fields_;
  ConfigOrigin file_;
  std::map<std::string, ConfigOrigin> given_;
  std::vector<Fault> faults_;
};

/// Faults of single values: out of range, or no word that is allowed.
std::vector<ConfigFault> range_faults(const std::vector<Field>& fields);

}  // namespace hetmoe
