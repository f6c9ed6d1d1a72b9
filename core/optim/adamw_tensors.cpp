#include "core/optim/adamw_tensors.h"

#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>

#include <optional>
#include <vector>

namespace hetmoe {
namespace {

AdamWPiece piece_of(const AdamWTensors& tensors) {
  return {.master = tensors.master.mutable_data_ptr<float>(),
          .gradient = tensors.gradient.const_data_ptr<float>(),
          .exp_avg = tensors.exp_avg.mutable_data_ptr<float>(),
          .exp_avg_sq = tensors.exp_avg_sq.mutable_data_ptr<float>(),
          .copy = tensors.copy.defined() ? tensors.copy.mutable_data_ptr<at::BFloat16>() : nullptr,
          .count = tensors.master.numel(),
          .decays = tensors.decays};
}

/// Whether b lies right behind a in the same memory, or neither is there.
bool follows(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.is_alias_of(b) && b.storage_offset() == a.storage_offset() + a.numel();
}

/// The first tensor made longer by as many elements.
at::Tensor extended(const at::Tensor& tensor, std::int64_t elements) {
  return tensor.defined() ? tensor.as_strided({tensor.numel() + elements}, {1}) : tensor;
}

/// Pieces that decay, or those that do not.
void update_on_gpu(std::span<const AdamWTensors> pieces, const AdamWStep& step, bool decays) {
  std::vector<at::Tensor> masters, gradients, first_moments, second_moments;
  for (const AdamWTensors& piece : pieces) {
    if (piece.decays != decays) continue;
    masters.push_back(piece.master);
    gradients.push_back(piece.gradient);
    first_moments.push_back(piece.exp_avg);
    second_moments.push_back(piece.exp_avg_sq);
  }
  if (masters.empty()) return;
  const auto scalar = masters[0].options();
  const std::vector<at::Tensor> updates(masters.size(),
                                        at::full({}, static_cast<double>(step.update), scalar));
  std::optional<at::Tensor> divisor;  // of gradients, which are written back
  if (step.gradient_scale != 1) divisor = at::full({}, 1.0 / step.gradient_scale, scalar);
  at::_fused_adamw_(masters, gradients, first_moments, second_moments, /*max_exp_avg_sqs=*/{},
                    updates, step.learning_rate, step.beta1, step.beta2,
                    decays ? step.weight_decay : 0.0, step.epsilon, /*amsgrad=*/false,
                    /*maximize=*/false, divisor);
}

void copy_on_gpu(std::span<const AdamWTensors> pieces) {
  std::vector<at::Tensor> copies, masters;
  for (const AdamWTensors& piece : pieces) {
    if (!piece.copy.defined()) continue;
    copies.push_back(piece.copy);
    masters.push_back(piece.master);
  }
  if (!copies.empty()) at::_foreach_copy_(copies, masters, /*non_blocking=*/true);
}

}  // namespace

std::vector<AdamWTensors> joined(std::span<const AdamWTensors> pieces) {
  std::vector<AdamWTensors> runs;
  for (const AdamWTensors& piece : pieces) {
    if (!runs.empty() && runs.back().decays == piece.decays &&
        follows(runs.back().master, piece.master) &&
        follows(runs.back().gradient, piece.gradient) &&
        follows(runs.back().exp_avg, piece.exp_avg) &&
        follows(runs.back().exp_avg_sq, piece.exp_avg_sq) &&
        follows(runs.back().copy, piece.copy)) {
      const std::int64_t elements = piece.master.numel();
      for (at::Tensor* part : {&runs.back().master, &runs.back().gradient, &runs.back().exp_avg,
                               &runs.back().exp_avg_sq, &runs.back().copy}) {
        *part = extended(*part, elements);
      }
    } else {
      runs.push_back(piece);
    }
  }
  return runs;
}

void adamw_update(std::span<const AdamWTensors> pieces, const AdamWStep& step) {
  if (pieces.empty()) return;
  if (pieces[0].master.is_cpu()) {
    for (const AdamWTensors& tensors : pieces) {
      const AdamWPiece piece = piece_of(tensors);
      adamw_update(std::span(&piece, 1), step);
    }
    return;
  }
  update_on_gpu(pieces, step, /*decays=*/true);
  update_on_gpu(pieces, step, /*decays=*/false);
  copy_on_gpu(pieces);
}

Deferred sum_of_squares(std::span<const at::Tensor> values) {
  if (values.empty()) return 0;
  if (values[0].is_cpu()) {
    double sum = 0;
    for (const at::Tensor& part : values) {
      sum += sum_of_squares(std::span<const float>(part.const_data_ptr<float>(),
                                                   static_cast<std::size_t>(part.numel())));
    }
    return sum;
  }
  const at::Tensor norms =
      at::stack(at::_foreach_norm(at::TensorList(values.data(), values.size()), 2, at::kDouble));
  return Deferred(at::sum(norms.square()).view({1}));
}

}  // namespace hetmoe
