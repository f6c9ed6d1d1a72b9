#include "parallel/placement/cluster_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/error.h"
#include "core/config/yaml_reader.h"
#include "tests/support/small_cluster.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Cluster read(const std::string& text) { return read_cluster(parse_yaml(text, "c.yaml")); }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from << " is not in\n" << text;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// What is said about the small cluster's file after a change.
std::string complaint(const std::string& from, const std::string& to) {
  try {
    read(replaced(write_cluster(small_cluster()), from, to));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(ClusterFile, WhatIsWrittenReadsBackBitForBit) {
  Cluster cluster = small_cluster(1.0 / 3e9);
  cluster.peak_flops_per_second = 9.894e14;
  cluster.layer_seconds = std::nextafter(1e-5, 1);
  const Cluster back = read(write_cluster(cluster));
  EXPECT_EQ(write_cluster(back), write_cluster(cluster));
  EXPECT_EQ(back.peak_flops_per_second, cluster.peak_flops_per_second);
  EXPECT_EQ(back.layer_seconds, cluster.layer_seconds);
  EXPECT_EQ(back.expert_products.forward_seconds, cluster.expert_products.forward_seconds);
  EXPECT_EQ(back.expert_products.backward_seconds, cluster.expert_products.backward_seconds);
  EXPECT_EQ(back.dense_products.backward_flops_per_second,
            cluster.dense_products.backward_flops_per_second);
  EXPECT_EQ(back.other_node.bytes_per_second, cluster.other_node.bytes_per_second);
  EXPECT_EQ(back.name, "small");
}

TEST(ClusterFile, CommentsAreFree) {
  const std::string text = write_cluster(small_cluster());
  EXPECT_EQ(write_cluster(read("# Why.\n" + replaced(text, "\nthreads", "  # source\nthreads"))),
            text);
}

TEST(ClusterFile, EveryKeyIsNeeded) {
  EXPECT_EQ(complaint("  ranks_per_node: 2\n", ""),
            "c.yaml: links.ranks_per_node: is missing, allowed: 1..65536");
  EXPECT_EQ(complaint("  widths: [8, 64, 512]\n", ""),
            "c.yaml: expert_products.widths: is missing, allowed: >= 1");
  EXPECT_THAT(complaint("memory:\n  bytes", "memory:\n  byte"),
              AllOf(HasSubstr("memory.byte: unknown key, nearest: memory.bytes"),
                    HasSubstr("memory.bytes: is missing")));
}

TEST(ClusterFile, FaultsNameLineKeyValueAndWhatIsAllowed) {
  const std::string text = write_cluster(small_cluster());
  const std::string last_line = std::to_string(std::count(text.begin(), text.end(), '\n'));
  EXPECT_EQ(complaint("bytes_per_second: 100000000\n", "bytes_per_second: 0\n"),
            "c.yaml:" + last_line +
                ": links.other_node.bytes_per_second: value 0, allowed: > 0 and <= 1e+21");
  EXPECT_THAT(complaint("latency_seconds: 1e-06", "latency_seconds: -1"),
              HasSubstr("links.same_node.latency_seconds: value -1, allowed: 0.."));
  EXPECT_THAT(complaint("latency_seconds: 1e-06", "latency_seconds: .nan"),
              HasSubstr("links.same_node.latency_seconds: value .nan, allowed: a finite number"));
  EXPECT_THAT(complaint("precision: \"fp32\"", "precision: half"),
              HasSubstr("c.yaml:3: precision: value half, allowed: fp32, bf16"));
  EXPECT_THAT(complaint("[1000000000, 3000000000]", "[1000000000, -3]"),
              HasSubstr("dense_products.forward_flops_per_second: entry 1 is -3, allowed: > 0"));
}

TEST(ClusterFile, TablesFitTheirAxes) {
  EXPECT_THAT(complaint("rows: [1, 16, 256]", "rows: [1, 256, 16]"),
              HasSubstr("expert_products.rows: value 16 after 256, allowed: ascending"));
  EXPECT_THAT(complaint("rows: [1, 16, 256]", "rows: [1, 16, 16]"), HasSubstr("ascending"));
  EXPECT_THAT(complaint("rows: [1, 16, 256]", "rows: []"),
              HasSubstr("expert_products.rows: value [], allowed: at least one entry"));
  EXPECT_THAT(complaint("rows: [1, 16, 256]", "rows: [1, 16]"),
              AllOf(HasSubstr("expert_products.forward_seconds: 18 entries, allowed: 12"),
                    HasSubstr("expert_products.backward_seconds: 18 entries, allowed: 12")));
  EXPECT_THAT(complaint("sizes: [128]", "sizes: [128, 256]"),
              HasSubstr("attention.backward_flops_per_second: 1 entries, allowed: 2"));
  // What is wrong with an axis is not said again about its tables.
  EXPECT_EQ(complaint("rows: [1, 16, 256]", "rows: [1, x]").find("entries"), std::string::npos);
}

TEST(ClusterFile, WhatIsNoClusterFileIsRefused) {
  EXPECT_THROW(read_cluster_file("configs/no_such_cluster.yaml"), ConfigError);
  EXPECT_THROW(read(""), ConfigError);
  EXPECT_THROW(read("[1, 2]"), ConfigError);
  EXPECT_THROW(read_cluster_file("configs/tiny.yaml"), ConfigError);
}

}  // namespace
}  // namespace hetmoe
