#include <algorithm>
#include <utility>
#include <vector>

#include "core/gpu/upload_ring.h"
#include "core/kernels/gpu/cublas_handle.h"

namespace hetmoe::gpu {
namespace {

// Calls under way at once: forward and backward of a few layers.
constexpr int kUploadPlaces = 64;

/// The arguments of one call, an entry per product. Keeps its memory from call to call.
class Arguments {
 public:
  void assign(const ProductKind& kind, std::span<const Product> products) {
    clear();
    for (const Product& product : products) {
      if (has_work(kind, product)) add(kind, product);
    }
    pointers.insert(pointers.end(), second_.begin(), second_.end());
    pointers.insert(pointers.end(), result_.begin(), result_.end());
  }

  std::vector<cublasOperation_t> first_operation, second_operation;
  std::vector<std::int64_t> rows, columns, depth, first_stride, second_stride, c_stride, size;
  std::vector<const void*> pointers;  ///< all first ones, all second ones, all results
  std::vector<float> factor, before;

 private:
  void clear() {
    for (auto* operations : {&first_operation, &second_operation}) operations->clear();
    for (auto* sizes : {&rows, &columns, &depth, &first_stride, &second_stride, &c_stride, &size}) {
      sizes->clear();
    }
    for (auto* addresses : {&pointers, &second_, &result_}) addresses->clear();
    for (auto* numbers : {&factor, &before}) numbers->clear();
  }

  void add(const ProductKind& kind, const Product& product) {
    const ColumnMajorProduct view = column_major(kind.form, product);
    first_operation.push_back(view.first_operation);
    second_operation.push_back(view.second_operation);
    rows.push_back(view.rows);
    columns.push_back(view.columns);
    depth.push_back(product.depth);
    first_stride.push_back(view.first_stride);
    second_stride.push_back(view.second_stride);
    c_stride.push_back(product.c_stride);
    pointers.push_back(view.first);
    second_.push_back(view.second);
    result_.push_back(product.c);
    size.push_back(1);
    factor.push_back(1);
    before.push_back(kind.adds ? 1 : 0);
  }

  std::vector<const void*> second_, result_;
};

/// cuBLAS asks for 16 bytes of every matrix in bf16, for less only where a row is odd as well.
bool is_aligned(const ProductKind& kind, std::span<const Product> products) {
  const auto fits = [](const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
  };
  return kind.in == Number::kFloat32 || std::ranges::all_of(products, [&](const Product& product) {
           return fits(product.a) && fits(product.b) && fits(product.c);
         });
}

class BatchedProducts final : public GroupedProducts {
 public:
  BatchedProducts(std::shared_ptr<GroupedProducts> others, int reserve)
      : others_(std::move(others)), handle_(reserve) {}

  bool takes(const ProductKind& kind, std::span<const Product> products) const override {
    return kind.in == kind.out && is_aligned(kind, products);
  }

  void run(const ProductKind& kind, std::span<const Product> products, Stream stream) override {
    if (!takes(kind, products)) return others_->run(kind, products, stream);
    arguments_.assign(kind, products);
    const Arguments& all = arguments_;
    const std::size_t count = all.size.size();
    if (count == 0) return;
    const auto* pointers = static_cast<const void* const*>(
        uploads_.upload(all.pointers.data(), all.pointers.size() * sizeof(void*), stream));
    handle_.use(stream);
    check_cublas("cublasGemmGroupedBatchedEx",
                 cublasGemmGroupedBatchedEx_64(
                     handle_.get(), all.first_operation.data(), all.second_operation.data(),
                     all.rows.data(), all.columns.data(), all.depth.data(), all.factor.data(),
                     pointers, cublas_type(kind.in), all.first_stride.data(), pointers + count,
                     cublas_type(kind.in), all.second_stride.data(), all.before.data(),
                     const_cast<void* const*>(pointers + 2 * count), cublas_type(kind.out),
                     all.c_stride.data(), static_cast<std::int64_t>(count), all.size.data(),
                     CUBLAS_COMPUTE_32F));
  }

 private:
  std::shared_ptr<GroupedProducts> others_;
  CublasHandle handle_;
  UploadRing uploads_{kUploadPlaces};
  Arguments arguments_;
};

}  // namespace

std::unique_ptr<GroupedProducts> make_batched_products(std::shared_ptr<GroupedProducts> others,
                                                       int reserve) {
  return std::make_unique<BatchedProducts>(std::move(others), reserve);
}

}  // namespace hetmoe::gpu
