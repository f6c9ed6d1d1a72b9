#include "runtime/exchange/external_tensors.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/model/parameter_specs.h"

namespace hetmoe {
namespace {

constexpr auto kRoles = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"attention_norm", "input_layernorm.weight"},
    {"attention.query", "self_attn.q_proj.weight"},
    {"attention.key", "self_attn.k_proj.weight"},
    {"attention.value", "self_attn.v_proj.weight"},
    {"attention.output", "self_attn.o_proj.weight"},
    {"attention.query_norm", "self_attn.q_norm.weight"},
    {"attention.key_norm", "self_attn.k_norm.weight"},
    {"experts_norm", "post_attention_layernorm.weight"},
});

constexpr std::array<std::string_view, kExpertMatrices> kMixtralMatrices = {"w1", "w3", "w2"};
constexpr std::array<std::string_view, kExpertMatrices> kMatrices = {"gate_proj", "up_proj",
                                                                     "down_proj"};

std::string text(std::string_view begin, std::string_view middle, std::string_view end = {}) {
  return std::string(begin).append(middle).append(end);
}

class Listing {
 public:
  Listing(const ModelConfig& model, ExternalClass external)
      : model_(model), external_(external), widths_(stored_widths(model, external)) {}

  std::vector<ExternalTensor> all() {
    int layer = 0;
    for (const TensorSpec& spec : dense_tensor_specs(model_)) {
      const std::string prefix = "layers." + std::to_string(layer) + ".";
      const bool ends_layer = spec.name == prefix + "router";
      if (!ends_layer || external_ != ExternalClass::kLlama) add(spec);
      if (ends_layer) add_experts(layer++);
    }
    return std::move(tensors_);
  }

 private:
  void add(const TensorSpec& spec) {
    std::vector<std::int64_t> shape = {spec.rows};
    if (spec.is_matrix || spec.columns != 1) shape.push_back(spec.columns);
    tensors_.push_back(
        {.name = name_of(spec.name), .shape = std::move(shape), .source = spec.name});
  }

  std::string name_of(const std::string& ours) const {
    if (ours == "embedding") return "model.embed_tokens.weight";
    if (ours == "final_norm") return "model.norm.weight";
    if (ours == "head") return "lm_head.weight";
    if (ours.starts_with("hypernetwork.")) return "model." + ours;
    const std::size_t point = ours.find('.', std::string_view("layers.").size());
    HETMOE_CHECK(ours.starts_with("layers.") && point != std::string::npos, "tensor ", ours);
    const std::string prefix = "model." + ours.substr(0, point + 1);
    const std::string_view role = std::string_view(ours).substr(point + 1);
    if (role == "router") return text(prefix, mixture(), "gate.weight");
    for (const auto& [known, theirs] : kRoles) {
      if (role == known) return text(prefix, theirs);
    }
    HETMOE_CHECK(role.starts_with("hyper."), "tensor ", ours);
    return text(prefix, role);
  }

  std::string_view mixture() const {
    return external_ == ExternalClass::kMixtral ? "block_sparse_moe." : "mlp.";
  }

  void add_experts(int layer) {
    const std::string prefix = text("model.layers." + std::to_string(layer) + ".", mixture());
    const auto& matrices = external_ == ExternalClass::kMixtral ? kMixtralMatrices : kMatrices;
    for (std::size_t expert = 0; expert < widths_.size(); ++expert) {
      const std::string place = external_ == ExternalClass::kLlama
                                    ? prefix
                                    : prefix + "experts." + std::to_string(expert) + ".";
      for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
        const auto which = static_cast<ExpertMatrix>(matrix);
        add_feed_forward(text(place, matrices[static_cast<std::size_t>(matrix)], ".weight"),
                         expert_tensor_name(layer, static_cast<int>(expert), which),
                         widths_[expert], which == ExpertMatrix::kDown);
      }
    }
    if (external_ == ExternalClass::kQwen2Moe) add_shared_expert(prefix);
  }

  void add_shared_expert(const std::string& prefix) {
    for (std::size_t matrix = 0; matrix < kMatrices.size(); ++matrix) {
      add_feed_forward(text(prefix + "shared_expert.", kMatrices[matrix], ".weight"), {}, 1,
                       matrix == static_cast<std::size_t>(ExpertMatrix::kDown));
    }
    add_feed_forward(prefix + "shared_expert_gate.weight", {}, 1, false);
  }

  void add_feed_forward(std::string name, std::string source, std::int64_t width, bool transposed) {
    std::vector<std::int64_t> shape = {width, model_.hidden_size};
    if (transposed) std::swap(shape[0], shape[1]);
    tensors_.push_back({.name = std::move(name),
                        .shape = std::move(shape),
                        .source = std::move(source),
                        .transposed = transposed});
  }

  const ModelConfig& model_;
  ExternalClass external_;
  std::vector<std::int64_t> widths_;
  std::vector<ExternalTensor> tensors_;
};

}  // namespace

std::vector<ExternalTensor> external_tensors(const ModelConfig& model, ExternalClass external) {
  return Listing(model, external).all();
}

}  // namespace hetmoe
