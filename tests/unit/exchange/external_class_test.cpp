#include "runtime/exchange/external_class.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/base/error.h"
#include "core/model/parameter_specs.h"
#include "runtime/exchange/external_tensors.h"
#include "runtime/exchange/native_code.h"

namespace hetmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelConfig small() {
  ModelConfig model;
  model.vocab_size = 11;
  model.hidden_size = 6;
  model.num_layers = 2;
  model.num_heads = 3;
  model.num_kv_heads = 1;
  model.experts.widths = {4, 7, 2};
  model.experts.count = 3;
  return model;
}

std::string refusal(const ModelConfig& model, ExportLayout layout) {
  try {
    class_for_export(model, layout);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "taken";
}

TEST(ExternalClass, WhatNoClassComputesGoesToOurOwnOrIsRefusedByName) {
  ModelConfig model = small();
  model.router.kind = RouterKind::kTopP;
  EXPECT_EQ(class_for_export(model, ExportLayout::kAuto), ExternalClass::kHetmoe);
  EXPECT_THAT(refusal(model, ExportLayout::kPadded), HasSubstr("model.router.kind top_p"));
  model = small();
  model.hyper.enabled = true;
  EXPECT_EQ(class_for_export(model, ExportLayout::kAuto), ExternalClass::kHetmoe);
  EXPECT_THAT(refusal(model, ExportLayout::kPadded), HasSubstr("model.hyper.enabled true"));
}

TEST(ExternalClass, ExpertsThatAWorkloadChoseAreRefusedInEveryLayout) {
  ModelConfig model = small();
  model.router.forced = "W3";
  for (const auto layout : {ExportLayout::kAuto, ExportLayout::kPadded, ExportLayout::kNative}) {
    EXPECT_THAT(refusal(model, layout), HasSubstr("model.router.forced: value W3"));
  }
}

TEST(ExternalClass, ADenseModelWhoseHeadsDoNotDivideIsNoLlama) {
  ModelConfig model = small();
  model.experts = {.count = 1, .widths = {5}};
  model.router.top_k = 1;
  EXPECT_EQ(class_for_export(model, ExportLayout::kAuto), ExternalClass::kLlama);
  model.num_heads = 4;
  model.head_dim = 2;
  EXPECT_EQ(class_for_export(model, ExportLayout::kAuto), ExternalClass::kMixtral);
}

TEST(ExternalClass, OnlyOurOwnKeepsWidths) {
  EXPECT_THAT(stored_widths(small(), ExternalClass::kHetmoe), ElementsAre(4, 7, 2));
  EXPECT_THAT(stored_widths(small(), ExternalClass::kMixtral), ElementsAre(8, 8, 8));
}

TEST(ExternalTensors, EveryTensorOfOursGoesToExactlyOneOfTheirs) {
  ModelConfig generated = small(), adapters = small(), tied = small();
  generated.hyper.enabled = adapters.hyper.enabled = true;
  adapters.hyper.kind = HyperKind::kExpertAdapters;
  tied.tie_embeddings = tied.qk_norm = true;
  for (const ModelConfig& model : {small(), generated, adapters, tied}) {
    std::set<std::string> names, sources;
    for (const ExternalTensor& tensor : external_tensors(model, ExternalClass::kHetmoe)) {
      EXPECT_TRUE(names.insert(tensor.name).second) << tensor.name;
      EXPECT_TRUE(sources.insert(tensor.source).second) << tensor.source;
    }
    std::set<std::string> ours;
    for (const TensorSpec& spec : dense_tensor_specs(model)) ours.insert(spec.name);
    for (int layer = 0; layer < 2; ++layer) {
      for (int expert = 0; expert < 3; ++expert) {
        for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
          ours.insert(expert_tensor_name(layer, expert, static_cast<ExpertMatrix>(matrix)));
        }
      }
    }
    EXPECT_EQ(sources, ours);
  }
}

TEST(NativeCode, IsPython) {
  ASSERT_EQ(native_code().size(), 2U);
  for (const NativeCode& code : native_code()) {
    EXPECT_TRUE(code.file_name.ends_with("_hetmoe.py"));
    EXPECT_THAT(std::string(code.text), HasSubstr("class Hetmoe"));
    EXPECT_TRUE(code.text.ends_with("\n"));
  }
}

}  // namespace
}  // namespace hetmoe
