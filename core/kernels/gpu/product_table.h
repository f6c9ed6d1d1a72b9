#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/kernels/gpu/grouped_products.h"

namespace hetmoe::gpu {

/// The implementations of grouped_products.h.
enum class ProductWay : std::uint8_t { kStreams, kBatched, kCutlass };

std::vector<std::string> enum_words(Form);
std::vector<std::string> enum_words(Number);
std::vector<std::string> enum_words(ProductWay);

/// Calls that are alike: number of products that have work, and their mean sizes, each as the
/// largest power of two that is not above it.
struct ProductClass {
  Form form = Form::kABt;
  Number in = Number::kBFloat16;
  Number out = Number::kBFloat16;
  bool adds = false;
  std::int64_t products = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;

  friend auto operator<=>(const ProductClass&, const ProductClass&) = default;

  template <typename Visitor>
  void fields(Visitor& visit) {
    const auto size = [] { return at_least(1, std::int64_t{1} << 40); };
    visit.field("form", form, "", "Layout of the factors.");
    visit.field("in", in, "", "Type of the factors.");
    visit.field("out", out, "", "Type of the product.");
    visit.field("adds", adds, "", "Whether it is added to what is there.");
    visit.field("products", products, "", "In one call; a power of two, as are the sizes.", size());
    visit.field("rows", rows, "", "Mean.", size());
    visit.field("columns", columns, "", "Mean.", size());
    visit.field("depth", depth, "", "Mean.", size());
  }
};

/// Zeros where no product has work.
ProductClass class_of(const ProductKind& kind, std::span<const Product> products);

/// The way that was fastest for a class on one kind of device.
struct MeasuredWay {
  std::string capability;  ///< compute capability of the device: "9.0"
  ProductClass calls;
  ProductWay way = ProductWay::kStreams;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("capability", capability, "", "Compute capability of the device, such as 9.0.");
    calls.fields(visit);
    visit.field("way", way, "", "What was fastest.");
  }
};

/// What was measured, each class of a capability once. What is not in it goes to the streams.
using ProductTable = std::vector<MeasuredWay>;

/// A list of sections with the fields of MeasuredWay, all of them, at most about 1,000.
/// Errors: ConfigError "source:line: ..." at the first entry that is not as the fields say.
ProductTable parse_product_table(const std::string& text, const std::string& source);
/// The same from a file.
ProductTable read_product_table(const std::string& path);

/// The table as text that reads back the same.
std::string product_table_text(const ProductTable& table);

}  // namespace hetmoe::gpu
