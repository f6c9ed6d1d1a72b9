#include "runtime/checkpoint/tensor_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/model/parameter_specs.h"

namespace hetmoe {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

ModelConfig unequal_model() {
  ModelConfig config;
  config.vocab_size = 11;
  config.hidden_size = 4;
  config.num_layers = 2;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.experts.count = 3;
  config.experts.widths = {2, 5, 7};
  return config;
}

Manifest manifest_with(const TensorShapes& shapes) {
  Manifest manifest;
  for (const auto& [name, shape] : shapes) {
    for (const std::string prefix : {"", "exp_avg.", "exp_avg_sq."}) {
      manifest.tensors[prefix + name].shape = shape;
    }
  }
  return manifest;
}

TEST(TensorShapes, HoldEveryParameterOnce) {
  for (const bool hyper : {false, true}) {
    ModelConfig config = unequal_model();
    config.hyper.enabled = hyper;
    std::int64_t elements = 0;
    for (const auto& [name, shape] : tensor_shapes(config)) {
      elements += shape[0] * (shape.size() > 1 ? shape[1] : 1);
    }
    EXPECT_EQ(elements, total_parameters(config));
  }
}

TEST(TensorShapes, GiveExpertsTheirOwnWidths) {
  const TensorShapes shapes = tensor_shapes(unequal_model());
  EXPECT_EQ(shapes.at("layers.1.experts.2.down"), (std::vector<std::int64_t>{7, 4}));
  EXPECT_EQ(shapes.at("layers.0.experts.0.gate"), (std::vector<std::int64_t>{2, 4}));
}

TEST(RequireTensors, NamesWhatIsMissingOfAnotherShapeOrTooMuch) {
  const TensorShapes shapes = tensor_shapes(unequal_model());
  const Manifest whole = manifest_with(shapes);
  EXPECT_NO_THROW(require_tensors(whole, shapes, /*moments=*/true, "c"));

  Manifest manifest = whole;
  manifest.tensors.erase("exp_avg_sq.layers.0.experts.1.up");
  EXPECT_NO_THROW(require_tensors(manifest, shapes, /*moments=*/false, "c"));
  EXPECT_THAT(
      [&] { require_tensors(manifest, shapes, /*moments=*/true, "c"); },
      ThrowsMessage<StorageError>(HasSubstr("tensor exp_avg_sq.layers.0.experts.1.up is missing")));

  manifest = whole;
  manifest.tensors["layers.0.experts.1.up"].shape = {6, 4};
  EXPECT_THAT([&] { require_tensors(manifest, shapes, /*moments=*/false, "c"); },
              ThrowsMessage<StorageError>(
                  HasSubstr("c: tensor layers.0.experts.1.up is [6, 4], the model needs [5, 4]")));

  manifest = whole;
  manifest.tensors["layers.2.router"].shape = {3, 4};
  EXPECT_THAT(
      [&] { require_tensors(manifest, shapes, /*moments=*/false, "c"); },
      ThrowsMessage<StorageError>(HasSubstr("c: tensor layers.2.router is none of this model's")));
}

}  // namespace
}  // namespace hetmoe
