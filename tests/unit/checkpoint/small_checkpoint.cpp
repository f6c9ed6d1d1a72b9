#include "tests/unit/checkpoint/small_checkpoint.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "core/files/safetensors.h"

namespace hetmoe {
namespace {

struct Cut {
  std::string tensor;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> rows;  ///< where parts begin, then the end
};

const std::vector<Cut> kCuts = {
    {"embedding", {7, 3}, {0, 2, 7}},
    {"exp_avg.embedding", {7, 3}, {0, 1, 6, 7}},
    {"exp_avg_sq.embedding", {7, 3}, {0, 7}},
    {"final_norm", {5}, {0, 3, 5}},
    {"layers.0.experts.0.gate", {9, 2}, {0, 1, 2, 5, 9}},
    {"layers.0.experts.1.gate", {1, 2}, {0, 1}},
};

std::string file_name(int file) { return "rank-" + std::to_string(file) + ".safetensors"; }

std::vector<TensorInfo> tensors_of_file(const Manifest& manifest, const std::string& file) {
  std::vector<TensorInfo> tensors;
  for (const auto& [name, tensor] : manifest.tensors) {
    for (const TensorPart& part : tensor.parts) {
      if (part.file != file) continue;
      std::vector<std::int64_t> shape = tensor.shape;
      shape.front() = part.row_end - part.row_begin;
      tensors.push_back({part.key, TensorType::kF32, shape, 0, 0});
    }
  }
  return tensors;
}

}  // namespace

std::vector<float> small_values(const Manifest& manifest, const std::string& tensor) {
  const auto found = manifest.tensors.find(tensor);
  const auto place = std::distance(manifest.tensors.begin(), found);
  std::vector<float> values;
  for (std::int64_t i = 0; i < found->second.rows() * found->second.columns(); ++i) {
    values.push_back(static_cast<float>(manifest.step * 1000 + place * 100 + i) / 8);
  }
  return values;
}

Manifest small_manifest(std::int64_t step) {
  Manifest manifest;
  manifest.step = step;
  manifest.tokens = step * 2048;
  manifest.generation = 2;
  for (int file = 0; file < kSmallFiles; ++file) {
    manifest.files.push_back({file_name(file), 1000, "xxh3-128:" + std::string(32, '0')});
  }
  int part = 0;
  for (const Cut& cut : kCuts) {
    CheckpointTensor& tensor = manifest.tensors[cut.tensor];
    tensor.shape = cut.shape;
    for (std::size_t i = 0; i + 1 < cut.rows.size(); ++i) {
      tensor.parts.push_back({cut.rows[i], cut.rows[i + 1], file_name(part++ % kSmallFiles),
                              part_key(cut.tensor, cut.rows[i], cut.rows[i + 1])});
    }
  }
  manifest.state = {.sampler_seed = 0xffffffffffffffffU,
                    .optimizer_updates = step - 1,
                    .skipped_steps = 1,
                    .loads = {{5, 0}, {1, 4}},
                    .ranks = kSmallFiles,
                    .expert_group_size = 1,
                    .plan = R"({"bound_by":"none","layers":[],"memory_max_over_mean":1.25})",
                    .config = "model: {hidden_size: 2}\ntrain:\n  seed: 1  # größer\n"};
  return manifest;
}

void write_small_files(const std::filesystem::path& folder, Manifest& manifest) {
  for (CheckpointFile& file : manifest.files) {
    SafetensorsWriter writer(folder / file.name, tensors_of_file(manifest, file.name));
    for (const auto& [name, tensor] : manifest.tensors) {
      const std::vector<float> values = small_values(manifest, name);
      for (const TensorPart& part : tensor.parts) {
        if (part.file != file.name) continue;
        writer.write(std::as_bytes(std::span(values).subspan(
            static_cast<std::size_t>(part.row_begin * tensor.columns()),
            static_cast<std::size_t>((part.row_end - part.row_begin) * tensor.columns()))));
      }
    }
    const WrittenFile written = writer.finish();
    file.bytes = written.bytes;
    file.digest = written.digest;
  }
}

std::filesystem::path save_small(const CheckpointFolder& checkpoints, std::int64_t step) {
  const std::filesystem::path folder = checkpoints.begin(step);
  Manifest manifest = small_manifest(step);
  write_small_files(folder, manifest);
  checkpoints.commit(manifest);
  return folder;
}

}  // namespace hetmoe
