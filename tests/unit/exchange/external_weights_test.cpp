#include "runtime/exchange/external_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ExternalWeightsTest : public ::testing::Test {
 protected:
  void put_tensor(const std::string& file, const std::string& name, std::vector<float> values) {
    SafetensorsWriter writer(temporary_.path() / file,
                             {{.name = name, .shape = {static_cast<std::int64_t>(values.size())}}});
    writer.write(std::as_bytes(std::span(values)));
    writer.finish();
  }
  void put_index(const std::string& map) {
    std::ofstream(temporary_.path() / "model.safetensors.index.json")
        << R"({"metadata": {}, "weight_map": )" << map << "}";
  }
  std::string refusal() const {
    try {
      const ExternalWeights weights(temporary_.path());
    } catch (const StorageError& error) {
      return error.what();
    }
    return "taken";
  }

  TemporaryFolder temporary_;
};

TEST_F(ExternalWeightsTest, ReadsPartsOfTensorsFromSeveralFiles) {
  put_tensor("a.safetensors", "x", {1, 2, 3});
  put_tensor("b.safetensors", "y", {4, 5});
  put_index(R"({"x": "a.safetensors", "y": "b.safetensors"})");
  const ExternalWeights weights(temporary_.path());
  std::vector<float> values(2);
  weights.read("x", 1, values);
  EXPECT_THAT(values, ElementsAre(2, 3));
  EXPECT_THAT(weights.shape("y"), ElementsAre(2));
  EXPECT_FALSE(weights.has("z"));
  EXPECT_THROW(weights.shape("z"), StorageError);
}

TEST_F(ExternalWeightsTest, AnIndexNamesFilesOfItsFolderOnly) {
  put_tensor("a.safetensors", "x", {1});
  for (const std::string name : {"../a.safetensors", "/etc/passwd", "sub/a.safetensors", "..", ".a",
                                 "", "a\\u0000.safetensors", "a b"}) {
    put_index(R"({"x": ")" + name + R"("})");
    EXPECT_THAT(refusal(), HasSubstr("allowed: a file of this folder")) << name;
  }
  for (const std::string map : {R"({"x": 3})", R"({"x": ["a"]})"}) {
    put_index(map);
    EXPECT_THAT(refusal(), HasSubstr("allowed: a file of this folder")) << map;
  }
  for (const std::string map : {"[]", "null", "{", "3"}) {
    put_index(map);
    EXPECT_THAT(refusal(), HasSubstr("is no JSON object with an object weight_map")) << map;
  }
}

TEST_F(ExternalWeightsTest, AnIndexAgreesWithItsFiles) {
  put_tensor("a.safetensors", "x", {1});
  put_index(R"({"x": "a.safetensors", "y": "a.safetensors"})");
  EXPECT_THAT(refusal(), HasSubstr(R"(tensor "y" is missing)"));
  put_index(R"({"y": "a.safetensors"})");
  EXPECT_THAT(refusal(), HasSubstr(R"(tensor "x" is not in)"));
  put_index(R"({"x": "b.safetensors"})");
  EXPECT_THAT(refusal(), HasSubstr("b.safetensors"));
}

TEST_F(ExternalWeightsTest, AFolderWithoutWeightsIsNamed) {
  EXPECT_THAT(refusal(), HasSubstr("holds no weights"));
}

}  // namespace
}  // namespace hetmoe
