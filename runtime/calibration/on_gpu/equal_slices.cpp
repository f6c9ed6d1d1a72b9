#include "runtime/calibration/equal_slices.h"

#include <span>

#include "core/kernels/gpu/chosen_products.h"
#include "core/kernels/on_gpu/experts.h"
#include "core/tensor/device.h"
#include "runtime/calibration/random_tensor.h"

namespace hetmoe {
namespace {

at::Tensor there(const std::vector<std::int32_t>& values) {
  return uploaded(std::span<const std::int32_t>(values), at::kInt);
}

/// Places are the rows of the first slice, then those of the second.
on_gpu::SlicePlaces places_of(const EqualSlicesShape& shape) {
  const std::int64_t step = shape.tokens_apart();
  const std::int64_t of_token = (shape.count + step - 1) / step;
  std::vector<std::int32_t> rows;
  std::vector<std::int32_t> of_row(static_cast<std::size_t>(shape.tokens() * of_token), -1);
  for (std::int64_t slice = 0; slice < shape.count; ++slice) {
    for (std::int64_t i = 0; i < shape.rows; ++i) {
      const std::int64_t row = i * step + slice % step;
      of_row[static_cast<std::size_t>(row * of_token + slice / step)] =
          static_cast<std::int32_t>(rows.size());
      rows.push_back(static_cast<std::int32_t>(row));
    }
  }
  const std::vector<float> gates(rows.size(), 0.5F);
  return {.row = there(rows),
          .gate = uploaded(std::span<const float>(gates), at::kFloat),
          .of_row = there(of_row).view({shape.tokens(), of_token}),
          .of_slice = std::vector<std::int64_t>(static_cast<std::size_t>(shape.count), shape.rows)};
}

class GpuEqualSlices final : public EqualSlices {
 public:
  GpuEqualSlices(const at::TensorOptions& place, const EqualSlicesShape& shape,
                 std::shared_ptr<on_gpu::Experts> experts)
      : experts_(std::move(experts)),
        slices_(random_slices(place, shape.hidden_size, shape.width, shape.count)),
        places_(places_of(shape)),
        x_(random_tensor({shape.tokens(), shape.hidden_size}, 1.0, place)),
        dy_(random_tensor({shape.tokens(), shape.hidden_size}, 1e-3, place)) {}

  void forward() override { experts_->forward(x_, slices_, places_, saved_); }
  void backward() override {
    experts_->backward(dy_, slices_, saved_);
    saved_ = {};
  }

 private:
  std::shared_ptr<on_gpu::Experts> experts_;
  std::vector<SliceWeights> slices_;
  on_gpu::SlicePlaces places_;
  at::Tensor x_, dy_;
  on_gpu::ExpertsContext saved_;
};

}  // namespace

std::vector<std::unique_ptr<EqualSlices>> make_equal_layers_on_gpu(
    const at::TensorOptions& place, const EqualSlicesShape& shape, std::int64_t layers,
    const gpu::ProductTable& products) {
  const auto experts = std::make_shared<on_gpu::Experts>(gpu::make_chosen_products(products));
  std::vector<std::unique_ptr<EqualSlices>> all;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    all.push_back(std::make_unique<GpuEqualSlices>(place, shape, experts));
  }
  return all;
}

}  // namespace hetmoe
