#include "core/kernels/gpu/pointer_arguments.h"

#include <array>
#include <cstring>
#include <limits>

namespace hetmoe::gpu {
namespace {

constexpr std::size_t kCopyBytes = 16;

// Arrays of 8 bytes an entry, one after another: pointers a, b, c and strides a, b, c. Then shapes.
constexpr std::size_t kWideArrays = 6;
constexpr std::size_t kBytesPerProduct = kWideArrays * sizeof(std::int64_t) + sizeof(ProductShape);

std::size_t element_bytes(Number number) { return number == Number::kFloat32 ? 4 : 2; }

struct Matrix {
  const void* begin;
  std::int64_t row_length;
  std::int64_t stride;
  Number number;
};

std::array<Matrix, 3> matrices_of(const ProductKind& kind, const Product& product) {
  const std::int64_t a_row = kind.form == Form::kAtB ? product.rows : product.depth;
  const std::int64_t b_row = kind.form == Form::kABt ? product.depth : product.columns;
  return {{{product.a, a_row, product.a_stride, kind.in},
           {product.b, b_row, product.b_stride, kind.in},
           {product.c, product.columns, product.c_stride, kind.out}}};
}

bool fits(const Matrix& matrix) {
  const auto whole = [&](std::int64_t elements) {
    return static_cast<std::size_t>(elements) * element_bytes(matrix.number) % kCopyBytes == 0;
  };
  return reinterpret_cast<std::uintptr_t>(matrix.begin) % kCopyBytes == 0 &&
         whole(matrix.row_length) && whole(matrix.stride);
}

}  // namespace

bool fits_tensor_copies(const ProductKind& kind, const Product& product) {
  for (const std::int64_t size : {product.rows, product.columns, product.depth}) {
    if (size > std::numeric_limits<std::int32_t>::max()) return false;
  }
  for (const Matrix& matrix : matrices_of(kind, product)) {
    if (!fits(matrix)) return false;
  }
  return true;
}

void ArgumentBlock::pack(const ProductKind& kind, std::span<const Product> products,
                         std::vector<Product>& others) {
  packed_.clear();
  others.clear();
  for (const Product& product : products) {
    if (!has_work(kind, product)) continue;
    (fits_tensor_copies(kind, product) ? packed_ : others).push_back(product);
  }
  bytes_.resize(packed_.size() * kBytesPerProduct);
  std::byte* next = bytes_.data();
  const auto put_each = [&](auto value_of) {
    for (const Product& product : packed_) {
      const auto value = value_of(product);
      std::memcpy(next, &value, sizeof value);
      next += sizeof value;
    }
  };
  put_each([](const Product& product) { return product.a; });
  put_each([](const Product& product) { return product.b; });
  put_each([](const Product& product) { return product.c; });
  put_each([](const Product& product) { return product.a_stride; });
  put_each([](const Product& product) { return product.b_stride; });
  put_each([](const Product& product) { return product.c_stride; });
  put_each([](const Product& product) {
    return ProductShape{.rows = static_cast<std::int32_t>(product.rows),
                        .columns = static_cast<std::int32_t>(product.columns),
                        .depth = static_cast<std::int32_t>(product.depth)};
  });
}

PointerArguments ArgumentBlock::arguments_at(const void* begin) const {
  const auto array = [&](std::size_t number) {
    return static_cast<const std::byte*>(begin) + number * packed_.size() * sizeof(std::int64_t);
  };
  return {.count = count(),
          .a = reinterpret_cast<const void* const*>(array(0)),
          .b = reinterpret_cast<const void* const*>(array(1)),
          .c = reinterpret_cast<void* const*>(const_cast<std::byte*>(array(2))),
          .a_stride = reinterpret_cast<const std::int64_t*>(array(3)),
          .b_stride = reinterpret_cast<const std::int64_t*>(array(4)),
          .c_stride = reinterpret_cast<const std::int64_t*>(array(5)),
          .shapes = reinterpret_cast<const ProductShape*>(array(kWideArrays))};
}

}  // namespace hetmoe::gpu
