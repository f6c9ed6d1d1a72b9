#include "core/model/recomputed_block.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>
#include <utility>

#include "core/base/operation.h"

namespace hetmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Lives from forward to backward.
struct Kept final : torch::CustomClassHolder {
  at::Tensor input;
  ComputeBeforeExperts before;
  MoeLayer* experts = nullptr;
  std::unique_ptr<MoeContext> context;
};

/// With a graph in forward too, which is dropped there: LibTorch may choose kernels by whether a
/// gradient will be asked for.
BeforeExperts compute_before(const Kept& kept, at::Tensor& leaf) {
  const at::AutoGradMode with_gradients(true);
  leaf = kept.input.detach().requires_grad_(true);
  return kept.before(leaf);
}

struct RecomputedBlock : torch::autograd::Function<RecomputedBlock> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            ComputeBeforeExperts before, MoeLayer* experts, PassState* pass) {
    auto kept = c10::make_intrusive<Kept>();
    kept->input = input.detach();
    kept->before = std::move(before);
    kept->experts = experts;
    BeforeExperts rows;
    {
      at::Tensor leaf;
      const BeforeExperts with_graph = compute_before(*kept, leaf);
      rows = {with_graph.h.detach(), with_graph.x.detach()};
    }
    MoeLayer::Output mixture = experts->forward_and_keep(rows.x, *pass);
    kept->context = std::move(mixture.context);
    context->saved_data["kept"] = at::IValue::make_capsule(std::move(kept));
    return rows.h.add(mixture.y);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto capsule = context->saved_data["kept"].toCapsule();
    Kept& kept = *static_cast<Kept*>(capsule.get());
    context->saved_data.clear();
    at::Tensor leaf;
    BeforeExperts rows;
    {
      const Operation recomputation(kRecomputation, {});
      rows = compute_before(kept, leaf);
    }
    const at::Tensor dx =
        kept.experts->backward(gradients[0].contiguous(), rows.x.detach(), *kept.context);
    kept.context.reset();
    torch::autograd::backward({rows.h, rows.x}, {gradients[0], dx});
    return {leaf.grad(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor recomputed_block(const at::Tensor& input, ComputeBeforeExperts before, MoeLayer& experts,
                            PassState& pass) {
  return RecomputedBlock::apply(input, std::move(before), &experts, &pass);
}

}  // namespace hetmoe
