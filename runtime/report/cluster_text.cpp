#include "runtime/report/cluster_text.h"

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "core/config/field.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  char line[160];
  std::snprintf(line, sizeof(line), pattern, values...);
  return line;
}

double forward_and_backward_rate(double forward_flops, double seconds) {
  return 3 * forward_flops / seconds;
}

/// Forward and backward together, in GFLOP/s: rows down, widths across.
std::string expert_table(const ExpertProducts& products, std::size_t hidden) {
  const std::int64_t hidden_size = products.hidden_sizes[hidden];
  std::string text = format("\n  experts at hidden size %lld, GFLOP/s by rows and width\n  %8s",
                            static_cast<long long>(hidden_size), "rows");
  for (const std::int64_t width : products.widths) {
    text += format("%10lld", static_cast<long long>(width));
  }
  text += "\n";
  std::size_t entry = hidden * products.rows.size() * products.widths.size();
  for (const std::int64_t rows : products.rows) {
    text += format("  %8lld", static_cast<long long>(rows));
    for (const std::int64_t width : products.widths) {
      const double flops = 6.0 * static_cast<double>(hidden_size * rows * width);
      const double seconds = products.forward_seconds[entry] + products.backward_seconds[entry];
      text += format("%10.2f", forward_and_backward_rate(flops, seconds) / 1e9);
      ++entry;
    }
    text += "\n";
  }
  return text;
}

std::string curve_table(const char* name, const char* size_name, const RateCurve& curve) {
  std::string text =
      format("\n  %s, GFLOP/s\n  %14s %10s %10s\n", name, size_name, "forward", "backward");
  for (std::size_t i = 0; i < curve.sizes.size(); ++i) {
    text +=
        format("  %14lld %10.1f %10.1f\n", static_cast<long long>(curve.sizes[i]),
               curve.forward_flops_per_second[i] / 1e9, curve.backward_flops_per_second[i] / 1e9);
  }
  return text;
}

std::string link_row(const char* name, const LinkSpeed& link) {
  return format("  %-11s %10.1f us per peer %10.2f GB/s\n", name, 1e6 * link.latency_seconds,
                link.bytes_per_second / 1e9);
}

nlohmann::ordered_json json_of(const FieldReference& reference) {
  return std::visit(
      [](const auto& value) -> nlohmann::ordered_json {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, EnumReference>) {
          return value.words[static_cast<std::size_t>(value.get(value.target))];
        } else {
          return *value;
        }
      },
      reference);
}

}  // namespace

std::string cluster_table(const Cluster& cluster) {
  std::string text = "  " + cluster.name + "\n  " + cluster.source + "\n\n";
  text += format("  peak        %10.1f GFLOP/s of a large product\n",
                 cluster.peak_flops_per_second / 1e9);
  text += format("  memory      %10.1f GB/s copied, %.1f GB/s in the optimizer, %s per rank\n",
                 cluster.memory_bytes_per_second / 1e9, cluster.optimizer_bytes_per_second / 1e9,
                 bytes_text(static_cast<std::int64_t>(cluster.memory_bytes)).c_str());
  text += format("  layer       %10.1f us, and %.3f ns per token and hidden feature\n",
                 1e6 * cluster.layer_seconds, 1e9 * cluster.layer_seconds_per_value);
  text += link_row("same node", cluster.same_node);
  text += link_row("other node", cluster.other_node);
  const std::size_t hidden_sizes = cluster.expert_products.hidden_sizes.size();
  text += expert_table(cluster.expert_products, 0);
  if (hidden_sizes > 1) text += expert_table(cluster.expert_products, hidden_sizes - 1);
  text += curve_table("dense products", "hidden size", cluster.dense_products);
  text += curve_table("attention", "length", cluster.attention);
  text += curve_table("output head", "hidden size", cluster.output_head);
  return text;
}

std::string cluster_json(const Cluster& cluster) {
  Cluster copy = cluster;  // fields point at members that may be written
  nlohmann::ordered_json document;
  for (const Field& field : list_fields(copy)) {
    nlohmann::ordered_json* place = &document;
    std::size_t begin = 0;
    for (std::size_t dot = field.key.find('.'); dot != std::string::npos;
         dot = field.key.find('.', begin)) {
      place = &(*place)[field.key.substr(begin, dot - begin)];
      begin = dot + 1;
    }
    (*place)[field.key.substr(begin)] = json_of(field.value);
  }
  return document.dump() + "\n";
}

}  // namespace hetmoe
