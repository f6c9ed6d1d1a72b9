#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "runtime/exchange/external_config.h"

namespace hetmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string config_of(const std::string& type, const std::string& keys = "") {
  return R"({"model_type": ")" + type +
         R"(", "vocab_size": 32, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "intermediate_size": 12, "moe_intermediate_size": 6,
             "num_experts_per_tok": 2, "num_local_experts": 5, "num_experts": 5)" +
         (keys.empty() ? "" : ", " + keys) + "}";
}

std::string refusal(const std::string& text) {
  try {
    read_external_config(text, "config.json");
  } catch (const StorageError& error) {
    return error.what();
  }
  return "taken";
}

TEST(ImportConfig, ReadsEachKind) {
  const ModelConfig mixtral =
      read_external_config(config_of("mixtral", R"("rope_theta": 500.0)"), "f").model;
  EXPECT_THAT(expert_widths(mixtral.experts), ElementsAre(12, 12, 12, 12, 12));
  EXPECT_TRUE(renormalizes(mixtral.router));
  EXPECT_EQ(mixtral.rope_theta, 500);
  EXPECT_EQ(mixtral.norm_epsilon, 1e-5);
  EXPECT_EQ(mixtral.head_dim, 0);
  EXPECT_FALSE(mixtral.qk_norm);

  const ModelConfig qwen =
      read_external_config(config_of("qwen3_moe", R"("head_dim": 10, "sliding_window": 4)"), "f")
          .model;
  EXPECT_THAT(expert_widths(qwen.experts), ElementsAre(6, 6, 6, 6, 6));
  EXPECT_FALSE(renormalizes(qwen.router));
  EXPECT_EQ(qwen.head_dim, 10);
  EXPECT_TRUE(qwen.qk_norm);

  const ModelConfig llama = read_external_config(config_of("llama"), "f").model;
  EXPECT_THAT(expert_widths(llama.experts), ElementsAre(12));
  EXPECT_EQ(llama.router.top_k, 1);
  EXPECT_EQ(llama.norm_epsilon, 1e-6);
}

TEST(ImportConfig, TakesWhatTransformersTakesWhereAKeyIsAbsent) {
  EXPECT_EQ(read_external_config(config_of("mixtral"), "f").model.rope_theta, 1e6);
  EXPECT_EQ(read_external_config(config_of("llama"), "f").model.rope_theta, 10000);
  EXPECT_EQ(read_external_config(config_of("llama", R"("num_key_value_heads": null)"), "f")
                .model.num_kv_heads,
            4);
}

TEST(ImportConfig, ReadsPositionsInTheSpellingsOfBothVersions) {
  for (const std::string keys :
       {R"("rope_theta": 700.0, "rope_scaling": null)",
        R"("rope_theta": 700, "rope_scaling": {"type": "default"})",
        R"("rope_parameters": {"rope_type": "default", "rope_theta": 700.0})",
        R"("rope_theta": 3.0, "rope_parameters": {"rope_theta": 700.0})"}) {
    EXPECT_EQ(read_external_config(config_of("llama", keys), "f").model.rope_theta, 700) << keys;
  }
}

TEST(ImportConfig, RefusesByNameWhatOurDecoderComputesOtherwise) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("rope_scaling": {"rope_type": "llama3", "factor": 8})", "rope_type: \"llama3\""},
      {R"("rope_scaling": {"type": "linear", "factor": 2})", "type: \"linear\""},
      {R"("rope_scaling": {"factor": 2})", "rope_scaling: {\"factor\":2}"},
      {R"("rope_scaling": 4)", "rope_scaling: 4"},
      {R"("rope_parameters": {"rope_type": "yarn"})", "rope_type: \"yarn\""},
      {R"("rope_parameters": {"partial_rotary_factor": 0.5})", "partial_rotary_factor: 0.5"},
      {R"("partial_rotary_factor": 0.5)", "partial_rotary_factor: 0.5"},
      {R"("attention_bias": true)", "attention_bias: true"},
      {R"("mlp_bias": true)", "mlp_bias: true"},
      {R"("qkv_bias": true)", "qkv_bias: true"},
      {R"("shared_expert_intermediate_size": 64)", "shared_expert_intermediate_size: 64"},
      {R"("n_shared_experts": 1)", "n_shared_experts: 1"},
      {R"("sliding_window": 16)", "sliding_window: 16"},
      {R"("sliding_window": 16, "max_position_embeddings": 17)", "sliding_window: 16"},
      {R"("layer_types": ["full_attention", "sliding_attention"])", "layer_types"},
      {R"("decoder_sparse_step": 2)", "decoder_sparse_step: 2"},
      {R"("mlp_only_layers": [0])", "mlp_only_layers: [0]"},
      {R"("hidden_act": "gelu")", "hidden_act: \"gelu\""},
      {R"("quantization_config": {"bits": 4})", "quantization_config: {\"bits\":4}"},
      {R"("auto_map": {"AutoModel": "x.Y"})", "auto_map"},
  };
  for (const auto& [keys, text] : cases) {
    EXPECT_THAT(refusal(config_of("mixtral", keys)), HasSubstr(text)) << keys;
    EXPECT_THAT(refusal(config_of("mixtral", keys)), HasSubstr(", allowed: ")) << keys;
  }
  EXPECT_EQ(refusal(config_of("mixtral", R"("sliding_window": 16, "max_position_embeddings": 16)")),
            "taken");
  EXPECT_THAT(refusal(config_of("qwen3_moe", R"("use_sliding_window": true, "sliding_window": 4)")),
              HasSubstr("sliding_window: 4"));
  EXPECT_THAT(refusal(config_of("gpt2")),
              HasSubstr("model_type: \"gpt2\", allowed: mixtral, qwen3_moe, llama"));
}

TEST(ImportConfig, TrustsNoNumber) {
  for (const std::string value : {"0", "-1", "1e3", "2.5", "\"8\"", "[8]", "true",
                                  "9223372036854775807", "18446744073709551615", "1e400", "null"}) {
    const std::string text =
        R"({"model_type": "llama", "vocab_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 12, "hidden_size": )" +
        value + "}";
    EXPECT_NE(refusal(text), "taken") << value;
  }
  for (const std::string text : {"", "[]", "null", "{", "{\"model_type\": 3}", "\"mixtral\""}) {
    EXPECT_NE(refusal(text), "taken") << text;
  }
  EXPECT_NE(refusal(std::string(100000, '[')), "taken");
}

}  // namespace
}  // namespace hetmoe
