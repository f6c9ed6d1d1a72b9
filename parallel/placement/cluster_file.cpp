#include "parallel/placement/cluster_file.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "core/config/field.h"
#include "core/config/printer.h"
#include "core/config/reader.h"
#include "core/config/yaml_reader.h"

namespace hetmoe {
namespace {

class TableRules {
 public:
  void require_axis(const std::string& key, const std::vector<std::int64_t>& axis) {
    if (axis.empty()) {
      faults_.push_back({key, "value [], allowed: at least one entry", {}});
      return;
    }
    const auto drop = std::adjacent_find(axis.begin(), axis.end(), std::greater_equal<>());
    if (drop == axis.end()) return;
    faults_.push_back({key,
                       "value " + std::to_string(*(drop + 1)) + " after " + std::to_string(*drop) +
                           ", allowed: ascending",
                       {}});
  }

  void require_entries(const std::string& key, const std::vector<double>& table,
                       std::size_t entries, const std::vector<std::string>& axes) {
    if (table.size() == entries) return;
    faults_.push_back({key,
                       std::to_string(table.size()) + " entries, allowed: " +
                           std::to_string(entries) + ", one per point of its axes",
                       axes});
  }

  void require_curve(const std::string& key, const RateCurve& curve) {
    require_axis(key + ".sizes", curve.sizes);
    const std::vector<std::string> axes = {key + ".sizes"};
    require_entries(key + ".forward_flops_per_second", curve.forward_flops_per_second,
                    curve.sizes.size(), axes);
    require_entries(key + ".backward_flops_per_second", curve.backward_flops_per_second,
                    curve.sizes.size(), axes);
  }

  void require_products(const std::string& key, const ExpertProducts& products) {
    require_axis(key + ".hidden_sizes", products.hidden_sizes);
    require_axis(key + ".rows", products.rows);
    require_axis(key + ".widths", products.widths);
    const std::size_t entries =
        products.hidden_sizes.size() * products.rows.size() * products.widths.size();
    const std::vector<std::string> axes = {key + ".hidden_sizes", key + ".rows", key + ".widths"};
    require_entries(key + ".forward_seconds", products.forward_seconds, entries, axes);
    require_entries(key + ".backward_seconds", products.backward_seconds, entries, axes);
  }

  std::vector<ConfigFault> take() { return std::move(faults_); }

 private:
  std::vector<ConfigFault> faults_;
};

std::vector<ConfigFault> table_faults(const Cluster& cluster) {
  TableRules rules;
  rules.require_products("expert_products", cluster.expert_products);
  rules.require_curve("dense_products", cluster.dense_products);
  rules.require_curve("attention", cluster.attention);
  rules.require_curve("output_head", cluster.output_head);
  return rules.take();
}

/// A key that is missing or misread has its default now; only that is said about it.
void add_new_faults(ConfigReader& reader, const std::vector<ConfigFault>& faults) {
  for (const ConfigFault& fault : faults) {
    const bool follows = std::any_of(fault.also.begin(), fault.also.end(),
                                     [&](const auto& key) { return reader.is_faulty(key); });
    if (!follows && !reader.is_faulty(fault.key)) reader.add_fault(fault);
  }
}

}  // namespace

Cluster read_cluster(const ConfigNode& tree) {
  Cluster cluster;
  const std::vector<Field> fields = list_fields(cluster);
  ConfigReader reader(fields);
  reader.read_tree(tree);
  for (const Field& field : fields) {
    if (reader.was_given(field.key)) continue;
    const std::string range = field.allowed.describe();
    reader.add_fault(
        {field.key, "is missing, allowed: " + (range.empty() ? "any text" : range), {}});
  }
  add_new_faults(reader, range_faults(fields));
  add_new_faults(reader, table_faults(cluster));
  reader.throw_faults();
  return cluster;
}

Cluster read_cluster_file(const std::string& path) { return read_cluster(read_yaml_file(path)); }

std::string write_cluster(const Cluster& cluster) {
  Cluster copy = cluster;  // fields point at members that may be written
  return yaml_document(list_fields(copy));
}

}  // namespace hetmoe
