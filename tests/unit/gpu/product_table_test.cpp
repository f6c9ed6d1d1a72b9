#include "core/kernels/gpu/product_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe::test {
namespace {

using gpu::Form;
using gpu::MeasuredWay;
using gpu::Number;
using gpu::Product;
using gpu::ProductTable;
using gpu::ProductWay;
using testing::HasSubstr;

gpu::ProductClass weight_gradient() {
  return {.form = Form::kAtB,
          .in = Number::kBFloat16,
          .out = Number::kFloat32,
          .adds = true,
          .products = 8,
          .rows = 4096,
          .columns = 1024,
          .depth = 512};
}

TEST(ProductTable, reads_back_what_was_written) {
  const ProductTable table = {
      {.capability = "9.0", .calls = weight_gradient(), .way = ProductWay::kCutlass},
      {.capability = "10.0", .calls = weight_gradient(), .way = ProductWay::kBatched},
      {.capability = "8.0",
       .calls = {.form = Form::kABt,
                 .in = Number::kFloat32,
                 .out = Number::kFloat32,
                 .products = 1,
                 .rows = 1,
                 .columns = 1,
                 .depth = std::int64_t{1} << 40},
       .way = ProductWay::kStreams}};
  const TemporaryFolder folder;
  const ProductTable read =
      gpu::read_product_table(folder.write("table.yaml", gpu::product_table_text(table)));
  ASSERT_EQ(read.size(), table.size());
  for (std::size_t i = 0; i < table.size(); ++i) {
    EXPECT_EQ(read[i].capability, table[i].capability);
    EXPECT_EQ(read[i].calls, table[i].calls);
    EXPECT_EQ(read[i].way, table[i].way);
  }
  EXPECT_TRUE(gpu::parse_product_table(gpu::product_table_text({}), "t").empty());
}

TEST(ProductTable, classes_are_powers_of_two_up_to_the_means_of_what_has_work) {
  const auto sized = [](std::int64_t rows, std::int64_t columns, std::int64_t depth) {
    Product product;
    product.rows = rows;
    product.columns = columns;
    product.depth = depth;
    return product;
  };
  const gpu::ProductKind kind{
      .form = Form::kAtB, .in = Number::kBFloat16, .out = Number::kFloat32, .adds = true};
  const std::vector<Product> products = {sized(4000, 1024, 100), sized(4200, 1024, 1000),
                                         sized(4000, 1024, 0), sized(4100, 1025, 437)};
  gpu::ProductClass expected = weight_gradient();
  expected.products = 2;  // of 3
  EXPECT_EQ(gpu::class_of(kind, products), expected);
  EXPECT_EQ(gpu::class_of(kind, {}).products, 0);
  EXPECT_EQ(gpu::class_of(kind, {}).rows, 0);
}

const std::string kGood =
    "- {capability: \"9.0\", form: atb, in: bf16, out: fp32, adds: true, products: 8, rows: 4096, "
    "columns: 1024, depth: 512, way: cutlass}\n";

/// What is said of the good table's line with one text replaced, as a second line.
std::string fault(const std::string& text, const std::string& replacement) {
  std::string line = kGood;
  line.replace(line.find(text), text.size(), replacement);
  try {
    gpu::parse_product_table("# measured\n" + line, "table.yaml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ProductTable, every_fault_is_told_with_file_and_line) {
  ASSERT_EQ(gpu::parse_product_table(kGood, "table.yaml").size(), 1U);
  EXPECT_EQ(fault("rows: 4096", "rows: 4095"),
            "table.yaml:2: rows: value 4095, allowed: a power of two");
  EXPECT_THAT(fault("rows: 4096", "rows: 0"), HasSubstr("table.yaml:2: rows: value 0, allowed: "));
  EXPECT_THAT(fault("rows: 4096", "rows: -8"), HasSubstr("table.yaml:2: rows: value -8"));
  EXPECT_THAT(fault("rows: 4096", "rows: many"), HasSubstr("table.yaml:2: rows: value many"));
  EXPECT_THAT(fault("rows: 4096", "rows: [4]"),
              HasSubstr("table.yaml:2: rows: value [4], allowed"));
  EXPECT_THAT(fault("rows: 4096", "row: 4096"), HasSubstr("table.yaml:2: row: unknown key"));
  EXPECT_EQ(fault(", depth: 512", ""), "table.yaml:2: depth: is missing");
  EXPECT_THAT(fault("depth: 512", "depth: 512, depth: 512"), HasSubstr("given twice"));
  EXPECT_THAT(fault("way: cutlass", "way: fastest"), HasSubstr("table.yaml:2: way: value fastest"));
  EXPECT_THAT(fault("form: atb", "form: ba"), HasSubstr("table.yaml:2: form: value ba"));
  EXPECT_THAT(fault("in: bf16, out: fp32", "in: fp32, out: bf16"),
              HasSubstr("table.yaml:2: out: value bf16, allowed: fp32"));
  EXPECT_THAT(fault("\"9.0\"", "hopper"), HasSubstr("table.yaml:2: capability: value hopper"));
  for (const char* text : {"\"\"", "\"9\"", "\".0\"", "\"9.\"", "\"9.0a\"", "\"90000.0\""}) {
    EXPECT_THAT(fault("\"9.0\"", text), HasSubstr("table.yaml:2: capability: value"));
  }
  EXPECT_THAT(fault("\"9.0\"", "\"8.0\""), HasSubstr("table.yaml:2: way: value cutlass, allowed:"));
  EXPECT_THAT(fault("- {", "- ["), HasSubstr("table.yaml:2: not YAML"));
}

std::string fault_of(const std::string& text) {
  try {
    gpu::parse_product_table(text, "table.yaml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ProductTable, is_a_list_that_names_no_calls_twice) {
  EXPECT_EQ(fault_of(kGood + kGood), "table.yaml:2: the same calls as line 1, allowed: once");
  EXPECT_THAT(fault_of("rows: 4\n"), HasSubstr("table.yaml:1: a section, allowed: a list"));
  EXPECT_THAT(fault_of("- 4\n"), HasSubstr("table.yaml:1: 4, allowed:"));
  EXPECT_THAT(fault_of(""), HasSubstr("allowed: a list"));
}

}  // namespace
}  // namespace hetmoe::test
