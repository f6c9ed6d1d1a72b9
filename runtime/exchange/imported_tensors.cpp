#include "runtime/exchange/imported_tensors.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/model/parameter_specs.h"
#include "runtime/exchange/external_tensors.h"

namespace hetmoe {
namespace {

using Shape = std::vector<std::int64_t>;

std::int64_t elements(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::string text_of(const Shape& shape) {
  std::string text;
  for (const std::int64_t extent : shape) {
    text.append(text.empty() ? "[" : ", ").append(std::to_string(extent));
  }
  return text.empty() ? "[]" : text.append("]");
}

/// Finds tensors and remembers which it has seen.
class Finder {
 public:
  explicit Finder(const ExternalWeights& weights) : weights_(weights) {}

  void require(const std::string& name, const Shape& expected) {
    const Shape& found = weights_.shape(name);
    if (found != expected) {
      throw StorageError("'" + weights_.folder() + "': tensor " + name + " is " + text_of(found) +
                         ", the model needs " + text_of(expected));
    }
    used_.insert(name);
  }

  void refuse_others(bool tied) const {
    for (const std::string& name : weights_.names()) {
      if (used_.contains(name) || name.ends_with(".rotary_emb.inv_freq")) continue;
      if (tied && name == "lm_head.weight" && equals_embedding(name)) continue;
      throw StorageError("'" + weights_.folder() + "': tensor " + name +
                         " is none that the model has" +
                         (tied && name == "lm_head.weight"
                              ? ": tie_word_embeddings is true, and it is not the embedding"
                              : ""));
    }
  }

 private:
  bool equals_embedding(const std::string& head) const {
    const std::string embedding = "model.embed_tokens.weight";
    const Shape& shape = weights_.shape(embedding);
    if (weights_.shape(head) != shape) return false;
    const std::int64_t columns = shape.back();
    std::vector<float> one(static_cast<std::size_t>(columns)), other(one.size());
    for (std::int64_t row = 0; row < shape.front(); ++row) {
      weights_.read(head, row * columns, one);
      weights_.read(embedding, row * columns, other);
      if (one != other) return false;
    }
    return true;
  }

  const ExternalWeights& weights_;
  std::set<std::string> used_;
};

/// "...experts.3.w1.weight" as a part of "...experts.gate_up_proj".
struct Stacked {
  std::string name;
  Shape shape;
  std::int64_t begin = 0;
};

Stacked stacked_place(const ExternalTensor& tensor, int experts, const std::string& prefix) {
  const std::string_view rest =
      std::string_view(tensor.source)
          .substr(tensor.source.find(".experts.") + std::string_view(".experts.").size());
  const std::int64_t expert = std::stoll(std::string(rest.substr(0, rest.find('.'))));
  const std::int64_t count = elements(tensor.shape);
  if (tensor.transposed) {
    return {
        prefix + "experts.down_proj", {experts, tensor.shape[0], tensor.shape[1]}, expert * count};
  }
  const std::int64_t second = rest.ends_with(".up") ? count : 0;
  return {prefix + "experts.gate_up_proj",
          {experts, 2 * tensor.shape[0], tensor.shape[1]},
          2 * expert * count + second};
}

bool is_expert(const ExternalTensor& tensor) {
  return tensor.source.find(".experts.") != std::string::npos;
}

std::string layer_prefix(const ExternalTensor& tensor) {
  return "model." + tensor.source.substr(0, tensor.source.find('.', 7) + 1) + "mlp.";
}

ImportedTensor place_of(const ExternalTensor& tensor, const ModelConfig& model,
                        ExternalClass external, const ExternalWeights& weights, Finder& finder) {
  ImportedTensor found{.name = tensor.source,
                       .shape = tensor.shape,
                       .source = tensor.name,
                       .transposed = tensor.transposed};
  if (tensor.transposed) std::swap(found.shape[0], found.shape[1]);
  if (external == ExternalClass::kLlama || weights.has(tensor.name)) {
    finder.require(found.source, tensor.shape);
    return found;
  }
  if (is_expert(tensor)) {
    const Stacked stacked = stacked_place(tensor, model.experts.count, layer_prefix(tensor));
    if (weights.has(stacked.name)) {
      finder.require(stacked.name, stacked.shape);
      found.source = stacked.name;
      found.begin = stacked.begin;
      return found;
    }
  } else if (tensor.source.ends_with(".router")) {
    const std::string router = layer_prefix(tensor) + "gate.weight";
    if (weights.has(router)) found.source = router;
  }
  finder.require(found.source, tensor.shape);
  return found;
}

}  // namespace

std::vector<ImportedTensor> imported_tensors(const ModelConfig& model, ExternalClass external,
                                             const ExternalWeights& weights) {
  Finder finder(weights);
  std::vector<ImportedTensor> tensors;
  for (const ExternalTensor& tensor : external_tensors(model, external)) {
    tensors.push_back(place_of(tensor, model, external, weights, finder));
  }
  finder.refuse_others(model.tie_embeddings);
  if (external != ExternalClass::kLlama) return tensors;
  for (const TensorSpec& spec : dense_tensor_specs(model)) {
    if (spec.name.ends_with(".router")) {
      tensors.push_back({.name = spec.name, .shape = {spec.rows, spec.columns}, .source = {}});
    }
  }
  return tensors;
}

std::vector<float> read_imported(const ImportedTensor& tensor, const ExternalWeights& weights) {
  std::vector<float> values(static_cast<std::size_t>(elements(tensor.shape)));
  if (tensor.source.empty()) return values;
  weights.read(tensor.source, tensor.begin, values);
  if (!tensor.transposed) return values;
  const auto rows = static_cast<std::size_t>(tensor.shape[0]);
  const auto columns = static_cast<std::size_t>(tensor.shape[1]);
  std::vector<float> turned(values.size());
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      turned[row * columns + column] = values[column * rows + row];
    }
  }
  return turned;
}

}  // namespace hetmoe
