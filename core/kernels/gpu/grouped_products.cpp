#include "core/kernels/gpu/grouped_products.h"

#include "core/base/check.h"

namespace hetmoe::gpu {

bool has_work(const ProductKind& kind, const Product& product) {
  if (product.rows == 0 || product.columns == 0) return false;
  HETMOE_CHECK(product.depth > 0 || kind.adds, "a product of no depth that is not added");
  HETMOE_CHECK(kind.in == Number::kBFloat16 || kind.out == Number::kFloat32, "fp32 to bf16");
  return product.depth > 0;
}

}  // namespace hetmoe::gpu
