#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/expert_kernels.h"
#include "core/kernels/linear.h"
#include "core/kernels/packed_product.h"
#include "core/kernels/row_copy.h"
#include "core/kernels/swiglu.h"
#include "core/kernels/tensor_work.h"

namespace hetmoe {
namespace {

struct CpuContext final : ExpertContext {
  at::Tensor x;
  std::vector<SliceRows> rows;
  std::vector<double> gates;
  std::vector<at::Tensor> gate_up;  ///< per slice [n, 2 w]: x Wgu^T, where it is kept
};

at::ScalarType wide_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

std::vector<double> gates_of(const SliceRows& rows, const std::vector<double>& gates) {
  std::vector<double> values(rows.selection.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = gates[rows.selection[i]];
  return values;
}

/// x Wgu^T.
at::Tensor gate_up_of(const at::Tensor& in, const SliceWeights& slice) {
  return at::mm(in, slice.gate_up.t());
}

class CpuExpertKernels final : public ExpertKernels {
 public:
  explicit CpuExpertKernels(GateUpProducts products) : keeps_(products == GateUpProducts::kKept) {}

  ExpertForward forward(const at::Tensor& x, std::span<const SliceWeights> slices,
                        std::vector<SliceRows> rows, std::vector<double> gates) override {
    HETMOE_CHECK(rows.size() == slices.size(), rows.size(), " row lists, ", slices.size(),
                 " slices");
    auto context = std::make_unique<CpuContext>();
    context->gate_up.resize(slices.size());
    at::Tensor y = at::zeros(x.sizes(), x.options().dtype(wide_type(x)));
    for (std::size_t i = 0; i < slices.size(); ++i) {
      if (rows[i].row.empty()) continue;
      const at::Tensor in = gather_rows(x, rows[i].row);
      at::Tensor gate_up = gate_up_of(in, slices[i]);
      at::Tensor hidden = at::empty({in.size(0), slices[i].width()}, x.options());
      swiglu_forward(gate_up, gates_of(rows[i], gates), hidden);
      add_rows(at::mm(hidden, slices[i].down), rows[i].row, y);
      if (keeps_) context->gate_up[i] = std::move(gate_up);
    }
    context->x = x;
    context->rows = std::move(rows);
    context->gates = std::move(gates);
    return {y.to(x.scalar_type()), std::move(context)};
  }

  ExpertBackward backward(const at::Tensor& dy, std::span<SliceWeights> slices,
                          ExpertContext& context) override {
    auto& saved = static_cast<CpuContext&>(context);
    at::Tensor dx = at::zeros(dy.sizes(), dy.options().dtype(wide_type(dy)));
    ExpertBackward result;
    result.dgates.assign(saved.gates.size(), 0.0);
    for (std::size_t i = 0; i < slices.size(); ++i) {
      const SliceRows& rows = saved.rows[i];
      if (rows.row.empty()) continue;
      const at::Tensor dout = gather_rows(dy, rows.row);
      at::Tensor dhidden = at::mm(dout, slices[i].down.t());
      std::vector<double> dgates(rows.row.size());
      const at::Tensor in = gather_rows(saved.x, rows.row);
      at::Tensor gate_up = keeps_ ? std::move(saved.gate_up[i]) : gate_up_again(in, slices[i]);
      swiglu_backward(gate_up, dhidden, gates_of(rows, saved.gates), dgates);
      for (std::size_t j = 0; j < dgates.size(); ++j) {
        result.dgates[rows.selection[j]] += dgates[j];
      }
      const GradientSum sum = std::exchange(slices[i].sum, GradientSum::kContinue);
      add_weight_gradient(dhidden, dout, slices[i].down_gradient, sum);
      add_weight_gradient(gate_up, in, slices[i].gate_up_gradient, sum);
      add_rows(at::mm(gate_up, slices[i].gate_up), rows.row, dx);
    }
    result.dx = dx.to(dy.scalar_type());
    return result;
  }

 private:
  static at::Tensor gate_up_again(const at::Tensor& in, const SliceWeights& slice) {
    const Operation recomputation(kRecomputation, {});
    const Operation operation("gate and up", product_work(in.size(0), slice.gate_up.size(0),
                                                          in.size(1), in.element_size()));
    return gate_up_of(in, slice);
  }

  bool keeps_;
};

}  // namespace

std::unique_ptr<ExpertKernels> make_cpu_expert_kernels(GateUpProducts products) {
  return std::make_unique<CpuExpertKernels>(products);
}

std::unique_ptr<ExpertKernels> make_expert_kernels(at::ScalarType type, std::int64_t hidden_size,
                                                   GateUpProducts products) {
  const bool packed = type == at::kBFloat16 && packed_products_available() &&
                      hidden_size % PackedMatrix::kDepthMultiple == 0;
  return packed ? make_packed_expert_kernels(products) : make_cpu_expert_kernels(products);
}

}  // namespace hetmoe
