#include <algorithm>
#include <iterator>
#include <vector>

#include "core/base/check.h"
#include "core/gpu/stream.h"
#include "core/kernels/gpu/cublas_handle.h"

namespace hetmoe::gpu {
namespace {

class StreamProducts final : public GroupedProducts {
 public:
  StreamProducts(int streams, int reserve) {
    HETMOE_CHECK(streams > 0, streams, " streams");
    for (int i = 0; i < streams; ++i) lanes_.emplace_back(reserve);
  }

  bool takes(const ProductKind&, std::span<const Product>) const override { return true; }

  void run(const ProductKind& kind, std::span<const Product> products, Stream stream) override {
    work_.clear();
    std::ranges::copy_if(products, std::back_inserter(work_),
                         [&](const Product& product) { return has_work(kind, product); });
    if (work_.size() == 1) {
      lanes_[0].handle.use(stream);
      return multiply(kind, work_[0], lanes_[0].handle);
    }
    begin_.record(stream);
    const std::size_t used = std::min(work_.size(), lanes_.size());
    for (std::size_t i = 0; i < used; ++i) {
      begin_.hold(lanes_[i].stream.get());
      lanes_[i].handle.use(lanes_[i].stream.get());
    }
    for (std::size_t i = 0; i < work_.size(); ++i) {
      multiply(kind, work_[i], lanes_[i % lanes_.size()].handle);
    }
    for (std::size_t i = 0; i < used; ++i) {
      lanes_[i].end.record(lanes_[i].stream.get());
      lanes_[i].end.hold(stream);
    }
  }

 private:
  struct Lane {
    explicit Lane(int reserve) : handle(reserve) {}

    OwnedStream stream;
    OwnedEvent end;
    CublasHandle handle;
  };

  static void multiply(const ProductKind& kind, const Product& product, CublasHandle& handle) {
    const ColumnMajorProduct view = column_major(kind.form, product);
    const float one = 1;
    const float before = kind.adds ? 1 : 0;
    check_cublas(
        "cublasGemmEx",
        cublasGemmEx_64(handle.get(), view.first_operation, view.second_operation, view.rows,
                        view.columns, product.depth, &one, view.first, cublas_type(kind.in),
                        view.first_stride, view.second, cublas_type(kind.in), view.second_stride,
                        &before, product.c, cublas_type(kind.out), product.c_stride,
                        CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  }

  OwnedEvent begin_;
  std::vector<Lane> lanes_;
  std::vector<Product> work_;  ///< kept for its memory
};

}  // namespace

std::unique_ptr<GroupedProducts> make_stream_products(int streams, int reserve) {
  return std::make_unique<StreamProducts>(streams, reserve);
}

}  // namespace hetmoe::gpu
