#include "tests/support/whole_model.h"

#include "core/model/local_token_dispatcher.h"

namespace hetmoe::test {
namespace {

std::vector<Slice> slices_of(ParameterStore& store) {
  std::vector<Slice> slices;
  for (int layer = 0; layer < store.num_layers(); ++layer) {
    slices.insert(slices.end(), store.layer_slices(layer).begin(), store.layer_slices(layer).end());
  }
  return slices;
}

}  // namespace

WholeModel::WholeModel(const RunConfig& config, ParameterStore& parameters)
    : mixture_(make_reference_expert_kernels(), make_local_token_dispatcher(slices_of(parameters))),
      statistics_(config.model.num_layers, config.model.experts.count),
      decoder_(
          config.model,
          {.parameters = parameters, .mixture = mixture_, .gate = gate_, .listener = listener_}) {}

PassState WholeModel::pass_over(std::span<const std::int32_t> inputs,
                                std::span<const std::int32_t> targets) {
  return {.microbatch = {.sequences = 1,
                         .length = static_cast<std::int64_t>(inputs.size()),
                         .inputs = inputs,
                         .targets = targets,
                         .document_begin = {}},
          .statistics = &statistics_};
}

double WholeModel::loss_sum(std::span<const std::int32_t> tokens) {
  PassState pass = pass_over(tokens.first(tokens.size() - 1), tokens.last(tokens.size() - 1));
  return decoder_.evaluate(pass);
}

std::vector<float> WholeModel::next_token_logits(std::span<const std::int32_t> tokens) {
  PassState pass = pass_over(tokens, {});
  const at::Tensor logits = decoder_.next_token_logits(pass).contiguous();
  return {logits.const_data_ptr<float>(), logits.const_data_ptr<float>() + logits.numel()};
}

}  // namespace hetmoe::test
