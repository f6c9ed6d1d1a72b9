#include "runtime/trainer/configured_products.h"

#include <string>

#include "parallel/agreement.h"

namespace hetmoe {

gpu::ProductTable configured_products(const RunConfig& config, Communicator& control) {
  const std::string& path = config.parallel.product_table;
  if (path.empty()) return {};
  gpu::ProductTable table;
  collectively(control, [&] { table = gpu::read_product_table(path); });
  return table;
}

}  // namespace hetmoe
