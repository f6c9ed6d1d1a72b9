#include <ATen/ops/index_add.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "core/kernels/expert_kernels.h"
#include "core/kernels/linear.h"

namespace hetmoe {
namespace {

struct ReferenceContext final : ExpertContext {
  at::Tensor x;
  std::vector<SliceRows> rows;
  std::vector<double> gates;
};

at::ScalarType wide_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor gate_column(const SliceRows& rows, const std::vector<double>& gates,
                       at::ScalarType type) {
  std::vector<double> values;
  for (std::int64_t selection : rows.selection) values.push_back(gates[selection]);
  return at::tensor(values, at::TensorOptions(type)).unsqueeze(1);
}

class ReferenceExpertKernels final : public ExpertKernels {
 public:
  ExpertForward forward(const at::Tensor& x, std::span<const SliceWeights> slices,
                        std::vector<SliceRows> rows, std::vector<double> gates) override {
    const auto wide = wide_type(x);
    at::Tensor y = at::zeros(x.sizes(), x.options().dtype(wide));
    for (std::size_t i = 0; i < slices.size(); ++i) {
      if (rows[i].row.empty()) continue;
      const at::Tensor index = at::tensor(rows[i].row);
      const at::Tensor in = x.index_select(0, index).to(wide);
      const auto parts = at::mm(in, slices[i].gate_up.to(wide).t()).chunk(2, 1);
      const at::Tensor hidden =
          at::silu(parts[0]).mul(parts[1]).mul(gate_column(rows[i], gates, wide));
      y.index_add_(0, index, at::mm(hidden, slices[i].down.to(wide)));
    }
    auto context = std::make_unique<ReferenceContext>();
    context->x = x;
    context->rows = std::move(rows);
    context->gates = std::move(gates);
    return {y.to(x.scalar_type()), std::move(context)};
  }

  ExpertBackward backward(const at::Tensor& dy, std::span<SliceWeights> slices,
                          ExpertContext& context) override {
    auto& saved = static_cast<ReferenceContext&>(context);
    const auto wide = wide_type(dy);
    at::Tensor dx = at::zeros(dy.sizes(), dy.options().dtype(wide));
    std::vector<double> dgates(saved.gates.size(), 0.0);
    for (std::size_t i = 0; i < slices.size(); ++i) {
      const SliceRows& rows = saved.rows[i];
      if (rows.row.empty()) continue;
      const at::Tensor index = at::tensor(rows.row);
      const at::Tensor in = saved.x.index_select(0, index).to(wide);
      const at::Tensor dout = dy.index_select(0, index).to(wide);
      const at::Tensor gate_up = slices[i].gate_up.to(wide);
      const auto parts = at::mm(in, gate_up.t()).chunk(2, 1);
      const at::Tensor gates = gate_column(rows, saved.gates, wide);
      const at::Tensor sigmoid = at::sigmoid(parts[0]);
      const at::Tensor silu = parts[0].mul(sigmoid);
      const at::Tensor a = silu.mul(parts[1]);
      const at::Tensor z = at::mm(dout, slices[i].down.to(wide).t());
      const at::Tensor dgate = a.mul(z).sum(1);
      for (std::size_t j = 0; j < rows.row.size(); ++j) {
        dgates[rows.selection[j]] += dgate[j].item<double>();
      }
      const at::Tensor da = z.mul(gates);
      const at::Tensor dup = da.mul(silu);
      const at::Tensor slope = sigmoid.mul(parts[0].mul(sigmoid.neg().add(1)).add(1));
      const at::Tensor dgate_part = da.mul(parts[1]).mul(slope);
      const GradientSum sum = std::exchange(slices[i].sum, GradientSum::kContinue);
      add_weight_gradient(a.mul(gates), dout, slices[i].down_gradient, sum);
      at::Tensor gate_gradient = slices[i].gate_up_gradient.narrow(0, 0, slices[i].width());
      at::Tensor up_gradient =
          slices[i].gate_up_gradient.narrow(0, slices[i].width(), slices[i].width());
      add_weight_gradient(dgate_part, in, gate_gradient, sum);
      add_weight_gradient(dup, in, up_gradient, sum);
      const auto weights = gate_up.chunk(2, 0);
      dx.index_add_(0, index, at::mm(dgate_part, weights[0]).add(at::mm(dup, weights[1])));
    }
    return {dx.to(dy.scalar_type()), std::move(dgates)};
  }
};

}  // namespace

std::unique_ptr<ExpertKernels> make_reference_expert_kernels() {
  return std::make_unique<ReferenceExpertKernels>();
}

}  // namespace hetmoe
