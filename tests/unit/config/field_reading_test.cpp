#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/config/printer.h"
#include "core/config/reader.h"
#include "core/config/value_text.h"
#include "core/config/yaml_reader.h"

namespace hetmoe {
namespace {

enum class Color { kRed, kGreen };
std::vector<std::string> enum_words(Color) { return {"red", "green"}; }

struct Inner {
  double rate = 0.5;
  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("rate", rate, "per second", "How fast.", at_least(0));
  }
};

struct Outer {
  bool on = false;
  int small = 1;
  std::int64_t large = 2;
  std::uint64_t seed = 3;
  std::string name = "n";
  std::vector<std::int64_t> list;
  std::vector<std::string> texts;
  Color color = Color::kRed;
  Inner inner;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("on", on, "", "A switch.");
    visit.field("small", small, "", "32 bits.");
    visit.field("large", large, "bytes", "64 bits.");
    visit.section("inner", inner);
    visit.field("seed", seed, "", "Unsigned.");
    visit.field("name", name, "", "A text.");
    visit.field("list", list, "", "Numbers.");
    visit.field("texts", texts, "", "Texts.");
    visit.field("color", color, "", "A word.");
  }
};

ConfigNode text_node(const std::string& text, bool quoted = false) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kText;
  node.text = text;
  node.quoted = quoted;
  return node;
}

/// What the type of a member wants instead of a text; empty: the text was taken.
template <typename Value>
std::string refusal(Value& member, const std::string& text, bool quoted = false) {
  return assign(&member, text_node(text, quoted)).value_or("");
}

TEST(FieldReading, IntegersTakeWholeDecimalNumbersOnly) {
  int value = 7;
  for (const char* text : {"1.5", "1e3", "yes", "", " 1", "1 ", "0x10", "+1", "1_000", "--1"}) {
    EXPECT_EQ(refusal(value, text), "an integer") << text;
  }
  EXPECT_EQ(refusal(value, "1", true), "an integer");
  EXPECT_EQ(refusal(value, "2147483648"), "an integer of 32 bits");
  EXPECT_EQ(value, 7);
  EXPECT_EQ(refusal(value, "-2147483648"), "");
  EXPECT_EQ(value, std::numeric_limits<int>::min());
}

TEST(FieldReading, OverflowIsRefusedNotWrapped) {
  std::int64_t large = 7;
  EXPECT_EQ(refusal(large, "9223372036854775808"), "an integer of 64 bits");
  EXPECT_EQ(large, 7);
  std::uint64_t seed = 7;
  EXPECT_EQ(refusal(seed, "-1"), "an integer from 0 to 2^64 - 1");
  EXPECT_EQ(refusal(seed, "18446744073709551616"), "an integer from 0 to 2^64 - 1");
  EXPECT_EQ(refusal(seed, "18446744073709551615"), "");
  EXPECT_EQ(seed, std::numeric_limits<std::uint64_t>::max());
}

TEST(FieldReading, NumbersAreFinite) {
  double value = 7;
  for (const char* text : {"nan", "inf", "-inf", ".nan", ".inf", "1e999", "1,5", "one", ""}) {
    EXPECT_EQ(refusal(value, text), "a finite number") << text;
  }
  EXPECT_EQ(value, 7);
  EXPECT_EQ(refusal(value, "1e-3"), "");
  EXPECT_EQ(value, 0.001);
  EXPECT_EQ(refusal(value, "3"), "");
  EXPECT_EQ(value, 3);
}

TEST(FieldReading, SwitchesAreTrueOrFalse) {
  bool value = false;
  for (const char* text : {"yes", "on", "1", "True", ""}) {
    EXPECT_EQ(refusal(value, text), "true or false") << text;
  }
  EXPECT_EQ(refusal(value, "true"), "");
  EXPECT_TRUE(value);
}

TEST(FieldReading, TextsAreBounded) {
  std::string value;
  EXPECT_EQ(refusal(value, std::string(4097, 'a')), "a text of at most 4096 bytes");
  EXPECT_EQ(refusal(value, std::string(4096, 'a')), "");
}

TEST(FieldReading, WordsAreThoseOfTheEnumeration) {
  Outer outer;
  const Field color = list_fields(outer).back();
  EXPECT_EQ(assign(color.value, text_node("blue")).value_or(""), "red, green");
  EXPECT_EQ(assign(color.value, ConfigNode{}).value_or(""), "red, green");
  EXPECT_FALSE(assign(color.value, text_node("green")).has_value());
  EXPECT_EQ(outer.color, Color::kGreen);
}

ConfigNode list_node(const std::vector<std::string>& texts) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kList;
  for (const auto& text : texts) node.children.push_back(text_node(text));
  return node;
}

TEST(FieldReading, TablesAreListsOfFiniteNumbers) {
  std::vector<double> table = {7};
  EXPECT_EQ(assign(&table, text_node("1")), "a list of at most 4096 finite numbers");
  EXPECT_EQ(assign(&table, list_node(std::vector<std::string>(4097, "1"))),
            "a list of at most 4096 finite numbers");
  for (const char* text : {"inf", "nan", "1e999", "x", ""}) {
    EXPECT_EQ(assign(&table, list_node({"1", text})), "a list of finite numbers") << text;
  }
  EXPECT_EQ(table, std::vector<double>{7});
  EXPECT_FALSE(assign(&table, list_node({"1", "2.5e-7"})).has_value());
  EXPECT_EQ(table, (std::vector<double>{1, 2.5e-7}));
  EXPECT_EQ(type_text(&table), "list of numbers");
}

TEST(FieldReading, ListsOfTextsHoldTextsAlone) {
  std::vector<std::string> texts = {"before"};
  EXPECT_EQ(assign(&texts, text_node("a")), "a list of at most 1024 texts");
  EXPECT_EQ(assign(&texts, list_node(std::vector<std::string>(1025, "a"))),
            "a list of at most 1024 texts");
  EXPECT_EQ(assign(&texts, list_node({"a", std::string(4097, 'a')})),
            "a list of texts of at most 4096 bytes each");
  ConfigNode nested;
  nested.kind = ConfigNode::Kind::kList;
  nested.children = {list_node({"a"})};
  EXPECT_EQ(assign(&texts, nested), "a list of texts of at most 4096 bytes each");
  EXPECT_EQ(texts, std::vector<std::string>{"before"});
  EXPECT_FALSE(assign(&texts, list_node({"1", "", "true"})).has_value());
  EXPECT_EQ(texts, (std::vector<std::string>{"1", "", "true"}));
  EXPECT_EQ(type_text(&texts), "list of texts");
}

// Spaces in a row would not survive lines that are folded.
TEST(FieldListing, LongListsOfTextsReadBackAsTheyWere) {
  Outer outer;
  for (int i = 0; i < 40; ++i) outer.texts.push_back("a  folder, \"" + std::to_string(i) + "\" #");
  const ConfigNode tree = parse_yaml(yaml_document(list_fields(outer)), "printed");
  Outer read;
  for (const ConfigNode& node : tree.children) {
    if (node.key != "texts") continue;
    EXPECT_FALSE(assign(&read.texts, node).has_value());
  }
  EXPECT_EQ(read.texts, outer.texts);
}

struct Table {
  std::vector<double> table;
  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("table", table, "", "Figures.", above_up_to(0, 10));
  }
};

TEST(FieldListing, TheFirstFaultyEntryOfATableIsNamed) {
  Table config{{1, 2, -3, -4}};
  EXPECT_EQ(range_faults(list_fields(config)),
            (std::vector<ConfigFault>{{"table", "entry 2 is -3, allowed: > 0 and <= 10", {}}}));
}

TEST(FieldListing, LongTablesAreWrappedAndReadBackBitForBit) {
  Table config;
  for (int i = 0; i < 300; ++i) config.table.push_back(std::exp(-0.1 * i) / 3);
  const std::string text = yaml_document(list_fields(config));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100U);
  const ConfigNode tree = parse_yaml(text, "printed");
  Table read;
  ASSERT_EQ(tree.children.size(), 1U);
  EXPECT_FALSE(assign(&read.table, tree.children[0]).has_value());
  EXPECT_EQ(read.table, config.table);
}

TEST(FieldListing, AFieldIsReadPrintedAndExplainedFromOneListing) {
  Outer outer;
  outer.name = "say \"hi\"\t\\";
  outer.list = {1, -2};
  outer.texts = {"a b"};
  EXPECT_EQ(yaml_document(list_fields(outer)),
            "on: false\n"
            "small: 1\n"
            "large: 2\n"
            "inner:\n"
            "  rate: 0.5\n"
            "seed: 3\n"
            "name: \"say \\\"hi\\\"\\x09\\\\\"\n"
            "list: [1, -2]\n"
            "texts: [\"a b\"]\n"
            "color: red\n");
  const std::string reference = reference_text(list_fields(outer));
  EXPECT_NE(reference.find("inner:\n  rate: 0.5  # number, per second, >= 0\n      # How fast.\n"),
            std::string::npos)
      << reference;
}

}  // namespace
}  // namespace hetmoe
