#include "core/kernels/packed_product.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/narrow.h"
#include "core/kernels/transpose.h"

namespace hetmoe {
namespace {

using c10::BFloat16;

// The depth of one product of a weight gradient: the packed operand stays in the second cache.
constexpr std::int64_t kGradientDepth = 1024;
// Rows of a weight gradient that are made at once: whole ones, one behind the other in memory.
constexpr std::int64_t kGradientRows = 32;

const BFloat16* data(const at::Tensor& tensor) { return tensor.const_data_ptr<BFloat16>(); }

/// a [M, depth] * b -> bf16 [M, N]; the last, ragged block of rows is multiplied as it is.
at::Tensor product(const at::Tensor& a, const PackedMatrix& b, std::int64_t columns) {
  const std::int64_t rows = a.size(0);
  const std::int64_t stride = a.size(1);
  HETMOE_CHECK(b.padded_depth() == stride, "depth ", stride, ", packed ", b.padded_depth());
  at::Tensor out = at::empty({rows, columns}, a.options());
  auto* target = out.mutable_data_ptr<BFloat16>();
  const std::int64_t blocks = (rows + kRowBlock - 1) / kRowBlock;
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> tile(kRowBlock * PackedMatrix::kPanelColumns);
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kRowBlock;
      const std::int64_t count = std::min(kRowBlock, rows - first);
      for (std::int64_t p = 0; p < b.panels(); ++p) {
        multiply_tile(data(a) + first * stride, stride, count, b.panel(p), stride, tile.data());
        const std::int64_t column = p * PackedMatrix::kPanelColumns;
        const std::int64_t width = std::min(PackedMatrix::kPanelColumns, columns - column);
        narrow_rows(tile.data(), PackedMatrix::kPanelColumns, count, width,
                    target + first * columns + column, columns);
      }
    }
    end_of_blocks();
  });
  return out;
}

}  // namespace

bool packed_products_available() {
  static const bool available = at::native::cpublas::could_pack(at::kBFloat16);
  return available;
}

void multiply_block(const BFloat16* a, std::int64_t a_stride, std::int64_t rows,
                    const BFloat16* panel, std::int64_t depth, float* c, std::int64_t c_stride,
                    bool add, std::int64_t columns) {
  at::native::cpublas::brgemm(rows, columns, depth, a_stride, PackedMatrix::kPanelColumns, c_stride,
                              add, a, panel, c, /*is_vnni=*/true);
}

void multiply_tile(const BFloat16* a, std::int64_t a_stride, std::int64_t rows,
                   const BFloat16* panel, std::int64_t depth, float* c, std::int64_t columns) {
  for (std::int64_t done = 0; done < depth; done += kTileDepth) {
    multiply_block(a + done, a_stride, rows, panel + done * PackedMatrix::kPanelColumns,
                   std::min(kTileDepth, depth - done), c, PackedMatrix::kPanelColumns, done > 0,
                   columns);
  }
}

void end_of_blocks() { at::native::cpublas::brgemm_release(); }

at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& weight) {
  PackedMatrix b;
  b.reset(weight.size(1), weight.size(0));
  b.pack_columns(data(weight), weight.size(0), weight.size(1), weight.size(1));
  return product(x, b, weight.size(0));
}

at::Tensor packed_input_gradient(const at::Tensor& dy, const at::Tensor& weight) {
  PackedMatrix b;
  b.reset(weight.size(0), weight.size(1));
  b.pack_rows(data(weight), weight.size(0), weight.size(1), weight.size(1));
  return product(dy, b, weight.size(1));
}

void packed_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor& gradient,
                            GradientSum sum) {
  const std::int64_t out = dy.size(1);
  const std::int64_t in = x.size(1);
  HETMOE_CHECK(gradient.is_contiguous() && gradient.size(0) == out && gradient.size(1) == in,
               "gradient of ", out, " x ", in);
  if (dy.size(0) == 0 && sum == GradientSum::kBegin) gradient.zero_();
  PackedMatrix b;
  ReusedBuffer transposed;
  for (std::int64_t begin = 0; begin < dy.size(0); begin += kGradientDepth) {
    const std::int64_t rows = std::min(kGradientDepth, dy.size(0) - begin);
    const std::int64_t depth = round_up(rows, PackedMatrix::kDepthMultiple);
    b.reset(rows, in);
    b.pack_rows(data(x) + begin * in, rows, in, in);
    const std::int64_t stride = packed_row_stride(depth);
    BFloat16* a = transposed.at_least(out * stride);
    const std::int64_t blocks = (out + kRowBlock - 1) / kRowBlock;
    at::parallel_for(0, blocks, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t block = first; block < last; ++block) {
        const std::int64_t column = block * kRowBlock;
        const std::int64_t count = std::min(kRowBlock, out - column);
        transpose_bfloat16(data(dy) + begin * out + column, rows, count, out, a + column * stride,
                           stride);
        for (std::int64_t i = column; i < column + count; ++i) {
          std::memset(a + i * stride + rows, 0, (depth - rows) * sizeof(BFloat16));
        }
      }
    });
    add_product(a, stride, out, b, gradient.mutable_data_ptr<float>(), in,
                begin > 0 || sum == GradientSum::kContinue);
  }
}

void add_product(const BFloat16* transposed_a, std::int64_t a_stride, std::int64_t rows,
                 const PackedMatrix& b, float* gradient, std::int64_t columns, bool add) {
  const std::int64_t depth = b.padded_depth();
  const std::int64_t blocks = (rows + kGradientRows - 1) / kGradientRows;
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kGradientRows;
      const std::int64_t count = std::min(kGradientRows, rows - first);
      for (std::int64_t p = 0; p < b.panels(); ++p) {
        const std::int64_t column = p * PackedMatrix::kPanelColumns;
        const std::int64_t width = std::min(PackedMatrix::kPanelColumns, columns - column);
        multiply_block(transposed_a + first * a_stride, a_stride, count, b.panel(p), depth,
                       gradient + first * columns + column, columns, add, width);
      }
    }
    end_of_blocks();
  });
}

}  // namespace hetmoe
