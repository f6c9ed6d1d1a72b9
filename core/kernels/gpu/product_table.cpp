#include "core/kernels/gpu/product_table.h"

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/config/reader.h"
#include "core/config/value_text.h"
#include "core/config/yaml_reader.h"

namespace hetmoe::gpu {
namespace {

std::int64_t power_of_two_up_to(std::int64_t size) {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(size)));
}

bool is_capability(const std::string& text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto point = text.find('.');
  return point != std::string::npos && point > 0 && point <= 3 && text.size() == point + 2 &&
         std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(point), is_digit) &&
         is_digit(text.back());
}

/// What its fields alone cannot say.
std::vector<ConfigFault> faults_of(const MeasuredWay& entry) {
  std::vector<ConfigFault> faults;
  if (!is_capability(entry.capability)) {
    faults.push_back(
        {"capability",
         "value " + printable(entry.capability) + ", allowed: a compute capability such as 9.0",
         {}});
  }
  const ProductClass& calls = entry.calls;
  for (const auto& [key, size] : {std::pair{"products", calls.products},
                                  {"rows", calls.rows},
                                  {"columns", calls.columns},
                                  {"depth", calls.depth}}) {
    if (size >= 1 && power_of_two_up_to(size) != size) {
      faults.push_back({key, "value " + std::to_string(size) + ", allowed: a power of two", {}});
    }
  }
  if (calls.in == Number::kFloat32 && calls.out != Number::kFloat32) {
    faults.push_back({"out", "value bf16, allowed: fp32 where in is fp32", {}});
  }
  if (entry.way == ProductWay::kCutlass && entry.capability != "9.0") {
    faults.push_back({"way",
                      "value cutlass, allowed: streams, batched where capability is not 9.0",
                      {"capability"}});
  }
  return faults;
}

MeasuredWay read_entry(const ConfigNode& node) {
  MeasuredWay entry;
  const std::vector<Field> fields = list_fields(entry);
  ConfigReader reader(fields);
  reader.read_tree(node);
  reader.throw_faults();
  for (const Field& field : fields) {
    if (reader.was_given(field.key)) continue;
    throw ConfigError(node.origin.text() + ": " + field.key + ": is missing");
  }
  for (const auto& fault : range_faults(fields)) reader.add_fault(fault);
  for (const auto& fault : faults_of(entry)) reader.add_fault(fault);
  reader.throw_faults();
  return entry;
}

ProductTable table_of(const ConfigNode& root) {
  if (root.kind != ConfigNode::Kind::kList) {
    throw ConfigError(root.origin.text() + ": " + describe_node(root) +
                      ", allowed: a list of measured ways");
  }
  ProductTable table;
  std::map<std::pair<std::string, ProductClass>, int> line_of;
  for (const ConfigNode& node : root.children) {
    table.push_back(read_entry(node));
    const auto [first, is_new] =
        line_of.try_emplace({table.back().capability, table.back().calls}, node.origin.line);
    if (is_new) continue;
    throw ConfigError(node.origin.text() + ": the same calls as line " +
                      std::to_string(first->second) + ", allowed: once");
  }
  return table;
}

}  // namespace

std::vector<std::string> enum_words(Form) { return {"abt", "ab", "atb"}; }
std::vector<std::string> enum_words(Number) { return {"fp32", "bf16"}; }
std::vector<std::string> enum_words(ProductWay) { return {"streams", "batched", "cutlass"}; }

ProductClass class_of(const ProductKind& kind, std::span<const Product> products) {
  std::int64_t count = 0, rows = 0, columns = 0, depth = 0;
  for (const Product& product : products) {
    if (!has_work(kind, product)) continue;
    ++count;
    rows += product.rows;
    columns += product.columns;
    depth += product.depth;
  }
  const std::int64_t divisor = std::max<std::int64_t>(1, count);
  return {.form = kind.form,
          .in = kind.in,
          .out = kind.out,
          .adds = kind.adds,
          .products = power_of_two_up_to(count),
          .rows = power_of_two_up_to(rows / divisor),
          .columns = power_of_two_up_to(columns / divisor),
          .depth = power_of_two_up_to(depth / divisor)};
}

ProductTable parse_product_table(const std::string& text, const std::string& source) {
  return table_of(parse_yaml(text, source));
}

ProductTable read_product_table(const std::string& path) { return table_of(read_yaml_file(path)); }

std::string product_table_text(const ProductTable& table) {
  std::string text;
  for (MeasuredWay entry : table) {
    const char* before = "- {";
    for (const Field& field : list_fields(entry)) {
      text += before + field.key + ": " + yaml_text(field.value);
      before = ", ";
    }
    text += "}\n";
  }
  return table.empty() ? "[]\n" : text;
}

}  // namespace hetmoe::gpu
