#include "runtime/checkpoint/tensor_shapes.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/model/parameter_specs.h"

namespace hetmoe {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t extent : shape) {
    text.append(text.empty() ? "[" : ", ").append(std::to_string(extent));
  }
  return text.append("]");
}

void require_tensor(const Manifest& manifest, const std::string& name,
                    const std::vector<std::int64_t>& shape, const std::string& checkpoint) {
  const auto found = manifest.tensors.find(name);
  if (found == manifest.tensors.end()) {
    throw StorageError(checkpoint + ": tensor " + name + " is missing, the model needs it");
  }
  if (found->second.shape != shape) {
    throw StorageError(checkpoint + ": tensor " + name + " is " + shape_text(found->second.shape) +
                       ", the model needs " + shape_text(shape));
  }
}

}  // namespace

TensorShapes tensor_shapes(const ModelConfig& config) {
  TensorShapes shapes;
  for (const TensorSpec& spec : dense_tensor_specs(config)) {
    shapes[spec.name] = spec.is_matrix || spec.columns != 1
                            ? std::vector<std::int64_t>{spec.rows, spec.columns}
                            : std::vector<std::int64_t>{spec.rows};
  }
  const std::vector<std::int64_t> widths = expert_widths(config.experts);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    for (std::size_t expert = 0; expert < widths.size(); ++expert) {
      for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
        shapes[expert_tensor_name(layer, static_cast<int>(expert),
                                  static_cast<ExpertMatrix>(matrix))] = {widths[expert],
                                                                         config.hidden_size};
      }
    }
  }
  return shapes;
}

void require_tensors(const Manifest& manifest, const TensorShapes& shapes, bool moments,
                     const std::string& checkpoint) {
  for (const auto& [name, shape] : shapes) {
    require_tensor(manifest, name, shape, checkpoint);
    if (!moments) continue;
    require_tensor(manifest, std::string(kFirstMoment) + name, shape, checkpoint);
    require_tensor(manifest, std::string(kSecondMoment) + name, shape, checkpoint);
  }
  for (const auto& [name, tensor] : manifest.tensors) {
    std::string parameter = name;
    for (const std::string_view moment : {kSecondMoment, kFirstMoment}) {
      if (parameter.starts_with(moment)) parameter.erase(0, moment.size());
    }
    if (!shapes.contains(parameter)) {
      throw StorageError(checkpoint + ": tensor " + name + " is none of this model's");
    }
  }
}

void require_moments(const Manifest& manifest, const std::string& checkpoint) {
  const auto is_moment = [](const auto& tensor) { return tensor.first.starts_with(kFirstMoment); };
  if (manifest.tensors.empty() || std::ranges::any_of(manifest.tensors, is_moment)) return;
  throw StorageError(checkpoint + ": tensor " + std::string(kFirstMoment) +
                     manifest.tensors.begin()->first +
                     " is missing: it holds weights without moments, from which a run begins "
                     "(--init) and cannot go on");
}

}  // namespace hetmoe
