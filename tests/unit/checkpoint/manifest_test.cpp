#include "runtime/checkpoint/manifest.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/checkpoint/small_checkpoint.h"

namespace hetmoe {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string refusal_of(const std::string& text) {
  return message_of<StorageError>([&] { read_manifest(text, "dir/manifest.json"); });
}

/// The small manifest with the value at one place replaced.
std::string edited(const std::string& pointer, const json& value) {
  json manifest = json::parse(write_manifest(small_manifest(100)));
  manifest[json::json_pointer(pointer)] = value;
  return manifest.dump();
}

std::string without(const std::string& pointer) {
  const json patch = {{{"op", "remove"}, {"path", pointer}}};
  return json::parse(write_manifest(small_manifest(100))).patch(patch).dump();
}

TEST(Manifest, IsReadAsItWasWritten) {
  const Manifest written = small_manifest(100);
  const std::string text = write_manifest(written);
  const Manifest manifest = read_manifest(text, "manifest.json");
  EXPECT_EQ(manifest.step, 100);
  EXPECT_EQ(manifest.tokens, 204800);
  EXPECT_EQ(manifest.generation, 2);
  ASSERT_EQ(manifest.files.size(), 3u);
  EXPECT_EQ(manifest.files[2].name, "rank-2.safetensors");
  const CheckpointTensor& gate = manifest.tensors.at("layers.0.experts.0.gate");
  EXPECT_EQ(gate.rows(), 9);
  EXPECT_EQ(gate.columns(), 2);
  ASSERT_EQ(gate.parts.size(), 4u);
  EXPECT_EQ(gate.parts[2].row_begin, 2);
  EXPECT_EQ(gate.parts[2].row_end, 5);
  EXPECT_EQ(manifest.tensors.at("final_norm").columns(), 1);
  EXPECT_EQ(manifest.state.sampler_seed, written.state.sampler_seed);
  EXPECT_EQ(manifest.state.optimizer_updates, 99);
  EXPECT_EQ(manifest.state.skipped_steps, 1);
  EXPECT_EQ(manifest.state.loads, written.state.loads);
  EXPECT_EQ(manifest.state.ranks, 3);
  EXPECT_EQ(manifest.state.expert_group_size, 1);
  EXPECT_EQ(manifest.state.plan, written.state.plan);
  EXPECT_EQ(manifest.state.config, written.state.config);
  EXPECT_EQ(write_manifest(manifest), text);
}

TEST(Manifest, HasTheNamesOfTheContract) {
  Manifest manifest;
  manifest.step = 7;
  manifest.tokens = 14;
  manifest.files = {{"a.safetensors", 96, "xxh3-128:0123456789abcdef0123456789abcdef"}};
  manifest.tensors["head"] = {{3, 2}, {{0, 3, "a.safetensors", part_key("head", 0, 3)}}};
  manifest.state = {.sampler_seed = 5,
                    .loads = {{1}},
                    .ranks = 1,
                    .expert_group_size = 1,
                    .plan = R"({"layers":[]})",
                    .config = "a: 1\n"};
  const std::string text = write_manifest(manifest);
  EXPECT_EQ(json::parse(text), json::parse(R"({
    "format": "hetmoe-checkpoint-1", "step": 7, "tokens": 14, "generation": 1,
    "files": [{"name": "a.safetensors", "bytes": 96,
               "digest": "xxh3-128:0123456789abcdef0123456789abcdef"}],
    "tensors": {"head": {"dtype": "F32", "shape": [3, 2],
                         "parts": [{"rows": [0, 3], "file": "a.safetensors", "key": "head#0:3"}]}},
    "state": {"sampler": {"seed": 5}, "optimizer_steps": 0, "skipped_steps": 0, "loads": [[1]],
              "ranks": 1, "expert_group_size": 1, "placement": {"layers": []}, "config": "a: 1\n"}
  })"));
  EXPECT_THAT(text, StartsWith("{\n  \"format\": \"hetmoe-checkpoint-1\",\n  \"step\": 7,\n"));
}

TEST(Manifest, WithoutAPlanIsABrokenInvariant) {
  Manifest manifest = small_manifest(1);
  for (const std::string plan : {"", "[]", "{"}) {
    manifest.state.plan = plan;
    EXPECT_THROW(write_manifest(manifest), InternalError) << plan;
  }
}

TEST(Manifest, MayHoldNoTensorAndNoFile) {
  json manifest = json::parse(write_manifest(small_manifest(100)));
  manifest["tensors"] = json::object();
  manifest["files"] = json::array();
  EXPECT_EQ(refusal_of(manifest.dump()), "no error");
}

TEST(Manifest, IsRefusedByPlaceAndValue) {
  const std::string embedding = "/tensors/embedding";
  const std::string part = embedding + "/parts/1";
  const std::vector<std::tuple<std::string, json, std::string>> faults = {
      {"/format", "hetmoe-checkpoint-2", "/format is \"\\\"hetmoe-checkpoint-2\\\"\", allowed"},
      {"/surprise", 1, "/ has the unknown key \"surprise\", allowed: format, step"},
      {"/step", -1, "/step is -1, allowed: an integer from 0"},
      {"/step", 1.5, "/step is 1.5"},
      {"/step", "7", "/step is string"},
      {"/step", nullptr, "/step is null"},
      {"/tokens", 18446744073709551615U, "/tokens is 18446744073709551615"},
      {"/generation", 4294967297, "/generation is 4294967297"},
      {"/files", json::object(), "/files is object, allowed: an array"},
      {"/files/0/name", "../x", "/files/0/name is \"../x\", allowed: up to 128 letters"},
      {"/files/0/name", "/etc/passwd", "/files/0/name is \"/etc/passwd\""},
      {"/files/0/name", "a/b", "/files/0/name is \"a/b\""},
      {"/files/0/name", "a\\b", "/files/0/name is"},
      {"/files/0/name", "", "/files/0/name is \"\""},
      {"/files/0/name", "..", "/files/0/name is \"..\""},
      {"/files/0/name", ".hidden", "/files/0/name is \".hidden\""},
      {"/files/0/name", "a\nhetmoe: b", "/files/0/name is \"a\\nhetmoe: b\""},
      {"/files/0/name", std::string(129, 'a'), "/files/0/name is \"aaaa"},
      {"/files/0/name", "manifest.json", "/files/0/name is \"manifest.json\""},
      {"/files/0/name", "COMMITTED", "/files/0/name is \"COMMITTED\""},
      {"/files/1/name", "rank-0.safetensors", "is \"rank-0.safetensors\" for the second time"},
      {"/files/0/bytes", 0, "/files/0/bytes is 0"},
      {"/files/0/bytes", 9223372036854775807, "/files/0/bytes is 9223372036854775807"},
      {"/files/1/bytes", 1125899906842624 - 999, "/files/1/bytes is 1125899906841625"},
      {"/files/1/bytes", 100, "/rows do not fit into rank-1.safetensors"},
      {"/files/0/digest", "xxh3-128:00", "/files/0/digest is \"xxh3-128:00\""},
      {"/files/0/digest", "xxh3-128:" + std::string(32, 'G'), "/files/0/digest is"},
      {"/files/0/digest", "sha2-256:" + std::string(32, '0'), "/files/0/digest is"},
      {"/files/0/more", 1, "/files/0 has the unknown key \"more\""},
      {"/tensors", json::array(), "/tensors is no object"},
      {"/tensors/a#0:1", json::object(), "/tensors has the key \"a#0:1\""},
      {embedding + "/dtype", "BF16", "/dtype is \"BF16\", allowed: \"F32\""},
      {embedding + "/shape", json::array(), "/shape is empty"},
      {embedding + "/shape", {7, 3, 1}, "/shape has more than two sizes"},
      {embedding + "/shape", {7, 0}, "/shape/1 is 0"},
      {embedding + "/shape", {-7, 3}, "/shape/0 is -7"},
      {embedding + "/shape", {4294967296, 4294967296}, "/shape/1 is 4294967296"},
      {embedding + "/shape", {8, 3}, "/parts end at row 7, allowed: 8"},
      {embedding + "/shape", {6, 3}, "/parts/1/rows/1 is 7, allowed: an integer from 3 to 6"},
      {embedding + "/shape", {2, 3}, "/parts/1 begins behind the last row"},
      {embedding + "/parts", json::array(), "/parts end at row 0, allowed: 7"},
      {part + "/rows", {1, 7}, part + "/rows/0 is 1, allowed: an integer from 2 to 2"},
      {part + "/rows", {3, 7}, part + "/rows/0 is 3"},
      {part + "/rows", {2, 2}, part + "/rows/1 is 2"},
      {part + "/rows", {2, 1}, part + "/rows/1 is 1"},
      {part + "/rows", {-1, 7}, part + "/rows/0 is -1"},
      {part + "/rows", {2, 7, 9}, part + "/rows has not two elements"},
      {part + "/rows", json::array(), part + "/rows has not two elements"},
      {part + "/file", "rank-9.safetensors", part + "/file is \"rank-9.safetensors\""},
      {part + "/key", "embedding#2:6",
       part + "/key is \"embedding#2:6\", allowed: \"embedding#2:7"},
      {part + "/key", "head#2:7", part + "/key is \"head#2:7\""},
      {part + "/more", 1, part + " has the unknown key \"more\""},
      {"/state/sampler", 5, "/state/sampler is 5, allowed: an object"},
      {"/state/sampler/seed", -1, "/state/sampler/seed is -1"},
      {"/state/sampler/epoch", 1, "/state/sampler has the unknown key \"epoch\""},
      {"/state/optimizer_steps", -1, "/state/optimizer_steps is -1"},
      {"/state/loads/0/1", -1, "/state/loads/0/1 is -1"},
      {"/state/loads/0", 3, "/state/loads/0 is 3, allowed: an array"},
      {"/state/ranks", 0, "/state/ranks is 0"},
      {"/state/expert_group_size", 4,
       "/state/expert_group_size is 4, allowed: an integer from 1 to 3"},
      {"/state/placement", nullptr, "/state/placement is no object"},
      {"/state/config", 1, "/state/config is 1, allowed: a string"},
  };
  for (const auto& [pointer, value, message] : faults) {
    EXPECT_THAT(refusal_of(edited(pointer, value)),
                AllOf(StartsWith("dir/manifest.json: "), HasSubstr(message), Not(HasSubstr("\n"))))
        << pointer << " = " << value;
  }
}

TEST(Manifest, NeedsEveryMember) {
  for (const std::string pointer : {"/format",
                                    "/step",
                                    "/tokens",
                                    "/generation",
                                    "/files",
                                    "/tensors",
                                    "/state",
                                    "/files/0/name",
                                    "/files/0/bytes",
                                    "/files/0/digest",
                                    "/state/sampler",
                                    "/state/sampler/seed",
                                    "/state/optimizer_steps",
                                    "/state/skipped_steps",
                                    "/state/loads",
                                    "/state/ranks",
                                    "/state/expert_group_size",
                                    "/state/placement",
                                    "/state/config",
                                    "/tensors/embedding/dtype",
                                    "/tensors/embedding/shape",
                                    "/tensors/embedding/parts",
                                    "/tensors/embedding/parts/0/rows",
                                    "/tensors/embedding/parts/0/file",
                                    "/tensors/embedding/parts/0/key"}) {
    const std::string key = pointer.substr(pointer.rfind('/') + 1);
    EXPECT_THAT(refusal_of(without(pointer)), HasSubstr("lacks the key \"" + key + "\""));
  }
}

TEST(Manifest, IsRefusedWhenItIsNoStrictJson) {
  const std::string text = write_manifest(small_manifest(100));
  const std::string ten = "[[[[[[[[[[";
  for (const auto& [hostile, message] : std::vector<std::pair<std::string, std::string>>{
           {"", "is not JSON at byte"},
           {"[]", "/ is array, allowed: an object"},
           {"null", "/ is null, allowed: an object"},
           {text + "x", "is not JSON at byte"},
           {"\xff" + text, "is not JSON at byte"},
           {R"({"step": 1, "step": 2})", "repeats the key \"step\""},
           {R"({"tensors": {"a": {}, "\u0061": {}}})", "repeats the key \"a\""},
           {ten + ten, "nests deeper than 12"},
           {std::string(1 << 20, '['), "nests deeper than 12"},
           {R"({"a": 1e999})", "holds a number that is too large"},
           {std::string(kLongestManifest + 1, ' '), "bytes, allowed: up to 67108864"},
       }) {
    EXPECT_THAT(refusal_of(hostile), AllOf(StartsWith("dir/manifest.json: "), HasSubstr(message)))
        << hostile.substr(0, 60);
  }
}

TEST(Manifest, CutAnywhereIsRefused) {
  const std::string text = write_manifest(small_manifest(100));
  for (std::size_t length = 0; length + 1 < text.size(); ++length) {
    ASSERT_THAT(refusal_of(text.substr(0, length)), HasSubstr("is not JSON")) << length;
  }
}

}  // namespace
}  // namespace hetmoe
