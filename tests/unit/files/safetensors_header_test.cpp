#include <gmock/gmock.h>

#include <cstdint>
#include <string>

#include "core/files/safetensors.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

// Beyond our own check of repeated names, the reference library gives the same verdicts
// (tests/peers/test_safetensors.py).

SafetensorsHeader parsed(const std::string& text, std::int64_t data_bytes) {
  return parse_safetensors_header(text, data_bytes, "x.safetensors");
}

/// Why a header is refused; "no error" when it is not.
std::string refusal(const std::string& text, std::int64_t data_bytes = 4) {
  const std::string message = message_of<StorageError>([&] { parsed(text, data_bytes); });
  if (message != "no error") {
    EXPECT_THAT(message, AllOf(testing::StartsWith("x.safetensors: "), Not(HasSubstr("\n"))));
  }
  return message;
}

/// A header of tensor "a", F32, with these values.
std::string one(const std::string& type, const std::string& shape, const std::string& offsets) {
  return R"({"a":{"dtype":)" + type + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}
const std::string kOne = one(R"("F32")", "[1]", "[0,4]");

TEST(SafetensorsHeader, HoldsTensorsInTheOrderOfTheirDataAndMetadata) {
  const SafetensorsHeader header =
      parsed(R"({"late":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
             R"("__metadata__":{"format":"pt","note":"line\nbreak"},)"
             R"("early":{"data_offsets":[0,4],"shape":[1],"dtype":"F32"}})",
             16);
  ASSERT_EQ(header.tensors.size(), 2u);
  EXPECT_EQ(header.tensors[0].name, "early");
  EXPECT_EQ(header.tensors[0].type, TensorType::kF32);
  EXPECT_THAT(header.tensors[0].shape, ElementsAre(1));
  EXPECT_EQ(header.tensors[1].name, "late");
  EXPECT_EQ(header.tensors[1].type, TensorType::kBf16);
  EXPECT_THAT(header.tensors[1].shape, ElementsAre(2, 3));
  EXPECT_EQ(header.tensors[1].begin, 4);
  EXPECT_EQ(header.tensors[1].bytes(), 12);
  EXPECT_THAT(header.metadata, ElementsAre(Pair("format", "pt"), Pair("note", "line\nbreak")));
}

TEST(SafetensorsHeader, MayHoldNoTensor) {
  EXPECT_THAT(parsed("{}", 0).tensors, IsEmpty());
  EXPECT_THAT(parsed(R"({"__metadata__":{}})", 0).metadata, IsEmpty());
}

TEST(SafetensorsHeader, MayHoldTensorsWithoutDimensionsAndWithoutElements) {
  const SafetensorsHeader header =
      parsed(R"({"none":{"dtype":"F32","shape":[3,0,5],"data_offsets":[0,0]},)"
             R"("one":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
             R"("end":{"dtype":"F64","shape":[0],"data_offsets":[4,4]}})",
             4);
  ASSERT_EQ(header.tensors.size(), 3u);
  EXPECT_THAT(header.tensors[1].shape, IsEmpty());
  EXPECT_EQ(header.tensors[1].bytes(), 4);
  EXPECT_EQ(header.tensors[2].name, "end");
}

TEST(SafetensorsHeader, MayNameATensorWithoutElementsBehindTheOneThatStandsThere) {
  EXPECT_EQ(refusal(R"({"full":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                    R"("none":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})"),
            "no error");
}

TEST(SafetensorsHeader, MayBeSurroundedByWhiteSpace) {
  EXPECT_EQ(refusal(" \t\r\n" + kOne + "\n \t\r  "), "no error");
}

TEST(SafetensorsHeader, KnowsTheNameAndWidthOfEveryType) {
  const std::vector<std::pair<std::string, int>> types = {
      {"BOOL", 8}, {"F4", 4},          {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
      {"I8", 8},   {"F8_E5M2", 8},     {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
      {"I16", 16}, {"F8_E5M2FNUZ", 8}, {"U16", 16},    {"F16", 16},    {"BF16", 16},
      {"I32", 32}, {"U32", 32},        {"F32", 32},    {"C64", 64},    {"F64", 64},
      {"I64", 64}, {"U64", 64}};
  for (const auto& [name, bits] : types) {
    const std::string offsets = "[0," + std::to_string(bits) + "]";  // 8 elements
    const SafetensorsHeader header = parsed(one('"' + name + '"', "[8]", offsets), bits);
    EXPECT_EQ(type_name(header.tensors[0].type), name);
    EXPECT_EQ(bits_of(header.tensors[0].type), bits) << name;
  }
}

TEST(SafetensorsHeader, IsRefusedWhenTooLong) {
  const std::string longest = "{}" + std::string(kLongestSafetensorsHeader - 2, ' ');
  EXPECT_EQ(refusal(longest, 0), "no error");
  EXPECT_THAT(refusal(longest + ' ', 0), HasSubstr("header of 100000001 bytes, at most 100000000"));
}

TEST(SafetensorsHeader, IsRefusedWhenNotUtf8) {
  for (const char* bytes : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    const std::string text = R"({"__metadata__":{"a":")" + std::string(bytes) + R"("}})";
    EXPECT_THAT(refusal(text, 0), HasSubstr("not UTF-8 JSON: fault at its byte"));
  }
  EXPECT_EQ(refusal("{\"__metadata__\":{\"a\":\"\xc3\xa9 \xf0\x9f\x98\x80\"}}", 0), "no error");
}

TEST(SafetensorsHeader, IsRefusedWhenNotJson) {
  for (const char* text :
       {"{", "{\"a\"", "{]", "{} {}", "{},", "{'a':1}", "{\"a\":}", "{\"\\x\":1}",
        R"({"__metadata__":{"a":"\ud800"}})", "{/**/}", "{\"a\":1,}"}) {
    EXPECT_THAT(refusal(text, 0),
                testing::AnyOf(HasSubstr("not UTF-8 JSON"), HasSubstr("expected")))
        << text;
  }
}

TEST(SafetensorsHeader, IsRefusedWhenNotAnObject) {
  for (const char* text : {"", "   ", "[]", "1", "null", "\"text\"", "\v{}"}) {
    EXPECT_THAT(refusal(text, 0), HasSubstr("does not start with '{'")) << text;
  }
}

TEST(SafetensorsHeader, IsRefusedWithAByteOrderMark) {
  EXPECT_THAT(refusal("\xef\xbb\xbf" + kOne), HasSubstr("does not start with '{'"));
}

TEST(SafetensorsHeader, HidesNothingBehindAZeroByte) {
  EXPECT_THAT(refusal(std::string("{}\0 hidden }", 12), 0), HasSubstr("zero at its byte 3"));
  EXPECT_THAT(refusal(kOne + std::string(1, '\0')), HasSubstr("zero at its byte"));
}

TEST(SafetensorsHeader, IsRefusedWhenATensorComesTwice) {
  const std::string member = kOne.substr(1, kOne.size() - 2);
  EXPECT_THAT(refusal("{" + member + "," + member + "}"),
              HasSubstr(R"(header has the name "a" twice)"));
  // The same name, spelt differently.
  EXPECT_THAT(refusal("{" + member + R"(,"\u0061":{}})"), HasSubstr(R"(the name "a" twice)"));
}

TEST(SafetensorsHeader, IsRefusedWhenAMemberComesTwice) {
  EXPECT_THAT(refusal(one(R"("F32","dtype":"F32")", "[1]", "[0,4]")),
              HasSubstr(R"(tensor "a" has the name "dtype" twice)"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"k":"1","k":"2"}})", 0),
              HasSubstr(R"(__metadata__ has the name "k" twice)"));
  EXPECT_THAT(refusal(R"({"__metadata__":{},"__metadata__":{}})", 0),
              HasSubstr(R"(header has the name "__metadata__" twice)"));
}

TEST(SafetensorsHeader, IsRefusedWhenAMemberIsMissing) {
  EXPECT_THAT(refusal(R"({"a":{}})"), HasSubstr(R"(tensor "a" has no dtype)"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})"), HasSubstr("has no shape"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"F32","shape":[1]}})"), HasSubstr("has no data_offsets"));
}

TEST(SafetensorsHeader, IsRefusedWithAMemberOfAnotherName) {
  EXPECT_THAT(refusal(one(R"("F32","strides":[1])", "[1]", "[0,4]")),
              HasSubstr(R"("strides", allowed are dtype, shape and data_offsets)"));
}

TEST(SafetensorsHeader, IsRefusedWithAnUnknownType) {
  EXPECT_THAT(
      refusal(one(R"("F33")", "[1]", "[0,4]")),
      AllOf(HasSubstr(R"(tensor "a": "dtype" is or holds "F33", expected one of BOOL, F4,)")));
  EXPECT_THAT(refusal(one(R"("f32")", "[1]", "[0,4]")), HasSubstr("expected one of"));
  EXPECT_THAT(refusal(one("32", "[1]", "[0,4]")), HasSubstr("expected one of"));
}

TEST(SafetensorsHeader, IsRefusedWhenAValueIsOfAnotherKind) {
  EXPECT_THAT(refusal(R"({"a":1})"), HasSubstr("expected an object of dtype, shape"));
  EXPECT_THAT(refusal(R"({"a":["F32",[1],[0,4]]})"), HasSubstr("an array, expected an object"));
  EXPECT_THAT(refusal(one(R"("F32")", "1", "[0,4]")), HasSubstr("expected an array of integers"));
  EXPECT_THAT(refusal(one(R"("F32")", "null", "[0,4]")), HasSubstr("null, expected an array"));
  EXPECT_THAT(refusal(one(R"("F32")", R"(["1"])", "[0,4]")), HasSubstr(R"(the text "1")"));
  EXPECT_THAT(refusal(one(R"("F32")", "[true]", "[0,4]")), HasSubstr("true, expected an array"));
  EXPECT_THAT(refusal(one(R"("F32")", "[1]", R"({"begin":0})")), HasSubstr("holds an object"));
}

TEST(SafetensorsHeader, IsRefusedWhenMetadataIsNotText) {
  EXPECT_THAT(refusal(R"({"__metadata__":{"k":1}})", 0),
              HasSubstr("the number 1, expected a text"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"k":{}}})", 0), HasSubstr("an object, expected a text"));
  EXPECT_THAT(refusal(R"({"__metadata__":"pt"})", 0), HasSubstr("expected an object of texts"));
  EXPECT_THAT(refusal(R"({"__metadata__":null})", 0), HasSubstr("expected an object of texts"));
}

TEST(SafetensorsHeader, IsRefusedWhenNestedDeeply) {
  const std::string deep(1000000, '[');
  EXPECT_THAT(refusal(one(R"("F32")", deep, "[0,4]")), HasSubstr("holds an array"));
  EXPECT_THAT(refusal(R"({"a":)" + deep), HasSubstr("an array, expected an object"));
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += R"({"a":)";
  EXPECT_THAT(refusal(objects), HasSubstr(R"(has the member "a")"));
}

TEST(SafetensorsHeader, IsRefusedWithNumbersThatAreNotIntegers) {
  for (const char* number :
       {"1.0", "1e0", "-1", "-0", "-1.5", "9223372036854775808", "18446744073709551616", "1e999"}) {
    const std::string list = "[" + std::string(number) + "]";
    EXPECT_THAT(
        refusal(one(R"("F32")", list, "[0,4]")),
        testing::AnyOf(HasSubstr("expected an array of integers"), HasSubstr("not UTF-8 JSON")))
        << number;
    EXPECT_NE(refusal(one(R"("F32")", "[1]", "[0," + std::string(number) + "]")), "no error");
  }
}

TEST(SafetensorsHeader, IsRefusedUnlessThereAreTwoOffsets) {
  for (const char* offsets : {"[]", "[0]", "[0,4,8]"}) {
    EXPECT_THAT(refusal(one(R"("F32")", "[1]", offsets)),
                HasSubstr("numbers, expected an array of two integers"));
  }
}

TEST(SafetensorsHeader, IsRefusedWhenATensorEndsBeforeItBegins) {
  EXPECT_THAT(refusal(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                      R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})"),
              HasSubstr(R"(tensor "b" stands at [4, 0) of the data, which ends before it begins)"));
}

TEST(SafetensorsHeader, IsRefusedWithAHole) {
  EXPECT_THAT(refusal(one(R"("F32")", "[1]", "[4,8]"), 8),
              HasSubstr(R"(tensor "a" stands at [4, 8) of the data, expected to begin at 0)"));
}

TEST(SafetensorsHeader, IsRefusedWithAnOverlap) {
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                      R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                      6),
              HasSubstr(R"(tensor "b" stands at [2, 6) of the data, expected to begin at 4)"));
  // Two tensors of the same bytes.
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                      R"("b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})"),
              HasSubstr("expected to begin at 4"));
}

TEST(SafetensorsHeader, IsRefusedWhenShapeAndOffsetsDisagree) {
  EXPECT_THAT(refusal(one(R"("F32")", "[2]", "[0,4]")),
              HasSubstr("its type and shape make 8 bytes"));
  EXPECT_THAT(refusal(one(R"("F64")", "[1]", "[0,4]")),
              HasSubstr("its type and shape make 8 bytes"));
  EXPECT_THAT(refusal(one(R"("F32")", "[0]", "[0,4]")),
              HasSubstr("its type and shape make 0 bytes"));
}

TEST(SafetensorsHeader, IsRefusedWhenElementsEndWithinAByte) {
  EXPECT_THAT(refusal(one(R"("F4")", "[3]", "[0,2]"), 2),
              HasSubstr("3 elements of type F4, which end within a byte"));
  EXPECT_THAT(refusal(one(R"("F6_E3M2")", "[2]", "[0,2]"), 2), HasSubstr("end within a byte"));
  EXPECT_EQ(refusal(one(R"("F6_E3M2")", "[4]", "[0,3]"), 3), "no error");
}

TEST(SafetensorsHeader, IsRefusedWhenTheElementsCannotBeCounted) {
  for (const char* shape : {"[4294967296,4294967296]", "[9223372036854775807,2]",
                            "[9223372036854775807,4,0]", "[3037000500,3037000500]"}) {
    EXPECT_THAT(refusal(one(R"("U8")", shape, "[0,4]")), HasSubstr("more elements than can be"))
        << shape;
  }
  // 2^60 elements can be counted, their 2^66 bits cannot: wrapped around they would be 0.
  EXPECT_THAT(refusal(one(R"("U64")", "[1152921504606846976]", "[0,0]"), 0),
              HasSubstr("more elements than can be"));
  EXPECT_EQ(refusal(one(R"("U8")", "[0,9223372036854775807,4]", "[0,0]"), 0), "no error");
}

TEST(SafetensorsHeader, IsRefusedWhenTheDataAreTooShortOrTooLong) {
  EXPECT_THAT(refusal(kOne, 3), HasSubstr("its tensors take 4 bytes, but the file holds 3"));
  EXPECT_THAT(refusal(kOne, 5), HasSubstr("its tensors take 4 bytes, but the file holds 5"));
  EXPECT_THAT(refusal("{}", 1), HasSubstr("its tensors take 0 bytes, but the file holds 1"));
}

TEST(SafetensorsHeader, IsQuotedOnOneLineWhateverItsNames) {
  const std::string name = R"("\n\u001b[2J\u0000\u2028)" + std::string(1000, 'y') + '"';
  const std::string message = refusal("{" + name + ":1}");
  EXPECT_THAT(message, AllOf(HasSubstr(R"("\n\u001b[2J\u0000\u2028yyy)"), HasSubstr("...\"")));
  EXPECT_LT(message.size(), 300u);
  // A name that is cut within a character.
  EXPECT_THAT(refusal("{\"" + std::string(79, 'y') + "\xc3\xa9\":1}"), HasSubstr(R"(y\ufffd...")"));
}

}  // namespace
}  // namespace hetmoe
