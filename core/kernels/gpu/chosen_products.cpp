#include "core/kernels/gpu/chosen_products.h"

#include <map>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/gpu/device_share.h"

namespace hetmoe::gpu {
namespace {

constexpr int kStreams = 4;

class ChosenProducts final : public GroupedProducts {
 public:
  ChosenProducts(const ProductTable& table, int reserve)
      : streams_(make_stream_products(kStreams, reserve)) {
    std::map<ProductWay, std::shared_ptr<GroupedProducts>> ways;
    const std::string capability = table.empty() ? "" : compute_capability();
    for (const MeasuredWay& entry : table) {
      if (entry.capability != capability) continue;
      auto& products = ways[entry.way];
      if (!products) products = make_products(entry.way, streams_, reserve);
      of_class_[entry.calls] = products;
    }
  }

  bool takes(const ProductKind&, std::span<const Product>) const override { return true; }

  void run(const ProductKind& kind, std::span<const Product> products, Stream stream) override {
    way_of(kind, products).run(kind, products, stream);
  }

 private:
  GroupedProducts& way_of(const ProductKind& kind, std::span<const Product> products) {
    if (of_class_.empty()) return *streams_;
    const auto found = of_class_.find(class_of(kind, products));
    return found == of_class_.end() ? *streams_ : *found->second;
  }

  std::shared_ptr<GroupedProducts> streams_;
  std::map<ProductClass, std::shared_ptr<GroupedProducts>> of_class_;
};

}  // namespace

std::shared_ptr<GroupedProducts> make_products(ProductWay way,
                                               std::shared_ptr<GroupedProducts> streams,
                                               int reserve) {
  switch (way) {
    case ProductWay::kStreams:
      return streams;
    case ProductWay::kBatched:
      return make_batched_products(std::move(streams), reserve);
    case ProductWay::kCutlass:
      return make_cutlass_products(std::move(streams), reserve);
  }
  HETMOE_CHECK(false, "no such way");
}

std::unique_ptr<GroupedProducts> make_chosen_products(const ProductTable& table, int reserve) {
  return std::make_unique<ChosenProducts>(table, reserve);
}

}  // namespace hetmoe::gpu
