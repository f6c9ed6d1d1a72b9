#include "runtime/calibration/equal_slices.h"

#include "core/kernels/expert_kernels.h"
#include "runtime/calibration/random_tensor.h"

namespace hetmoe {
namespace {

class HostEqualSlices final : public EqualSlices {
 public:
  HostEqualSlices(const at::TensorOptions& place, const EqualSlicesShape& shape,
                  std::shared_ptr<ExpertKernels> kernels)
      : kernels_(std::move(kernels)),
        slices_(random_slices(place, shape.hidden_size, shape.width, shape.count)),
        x_(random_tensor({shape.tokens(), shape.hidden_size}, 1.0, place)),
        dy_(random_tensor({shape.tokens(), shape.hidden_size}, 1e-3, place)) {
    const std::int64_t step = shape.tokens_apart();
    for (std::int64_t slice = 0; slice < shape.count; ++slice) {
      SliceRows& list = rows_.emplace_back();
      for (std::int64_t i = 0; i < shape.rows; ++i) {
        list.row.push_back(i * step + slice % step);
        list.selection.push_back(slice * shape.rows + i);
      }
    }
    gates_.assign(static_cast<std::size_t>(shape.count * shape.rows), 0.5);
  }

  void forward() override { saved_ = kernels_->forward(x_, slices_, rows_, gates_); }
  void backward() override {
    kernels_->backward(dy_, slices_, *saved_.context);
    saved_ = {};
  }

 private:
  std::shared_ptr<ExpertKernels> kernels_;
  std::vector<SliceWeights> slices_;
  std::vector<SliceRows> rows_;
  std::vector<double> gates_;
  at::Tensor x_, dy_;
  ExpertForward saved_;
};

}  // namespace

std::vector<std::unique_ptr<EqualSlices>> make_equal_layers(const at::TensorOptions& place,
                                                            const EqualSlicesShape& shape,
                                                            std::int64_t layers,
                                                            const gpu::ProductTable& products) {
  if (!place.device().is_cpu()) return make_equal_layers_on_gpu(place, shape, layers, products);
  const std::shared_ptr<ExpertKernels> kernels =
      make_expert_kernels(c10::typeMetaToScalarType(place.dtype()), shape.hidden_size);
  std::vector<std::unique_ptr<EqualSlices>> all;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    all.push_back(std::make_unique<HostEqualSlices>(place, shape, kernels));
  }
  return all;
}

}  // namespace hetmoe
