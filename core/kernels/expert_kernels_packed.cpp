#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/expert_kernels.h"
#include "core/kernels/packed_product.h"
#include "core/kernels/packed_swiglu.h"
#include "core/kernels/vector_math.h"

// Two designs were thinkable: grouped products over all slices at once, or one slice after another
// with everything between its products fused into their blocks. The second needs no padding between
// slices, keeps each block in the cache until it has become bf16, and lets the gradients of weights
// accumulate straight into their fp32 buffers.

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kPanel = PackedMatrix::kPanelColumns;

// Row counts change every step, and the micro-kernels are compiled per size and stride and kept:
// rows of a block go up to the next multiple of 16 (what lies there is multiplied and not used),
// depths of weight gradients to the next multiple of 32 (zeros), their strides to one of 128.
constexpr std::int64_t kRowMultiple = 16;

std::int64_t gradient_depth(std::int64_t rows) {
  return round_up(rows, PackedMatrix::kDepthMultiple);
}
std::int64_t gradient_stride(std::int64_t rows) { return round_up(rows, kWholeDepth); }

const BFloat16* data(const at::Tensor& tensor) { return tensor.const_data_ptr<BFloat16>(); }

HETMOE_VECTORIZED void add_values(const float* in, float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] += in[i];
}

struct PackedContext final : ExpertContext {
  at::Tensor x;
  std::vector<SliceRows> rows;
  std::vector<double> gates;
  std::vector<at::Tensor> gate_up;  ///< per slice [n, 2, padded width]: x Wgu^T
};

/// Rows of x one below another; rows of padding up to a multiple of 32 are zero.
const BFloat16* gather(const at::Tensor& x, const std::vector<std::int64_t>& index,
                       ReusedBuffer& buffer) {
  const std::int64_t rows = static_cast<std::int64_t>(index.size());
  const std::int64_t padded = round_up(rows, PackedMatrix::kDepthMultiple);
  const std::int64_t columns = x.size(1);
  BFloat16* out = buffer.at_least(padded * columns);
  at::parallel_for(0, rows, 32, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::memcpy(out + i * columns, data(x) + index[i] * columns, columns * sizeof(BFloat16));
    }
  });
  std::memset(out + rows * columns, 0, (padded - rows) * columns * sizeof(BFloat16));
  return out;
}

/// sum[index[i]] += (a [n, depth] * b)[i], block by block in fp32.
void add_product_to_rows(const BFloat16* a, std::int64_t a_stride, const PackedMatrix& b,
                         const std::vector<std::int64_t>& index, at::Tensor& sum) {
  const std::int64_t rows = static_cast<std::int64_t>(index.size());
  const std::int64_t columns = sum.size(1);
  auto* target = sum.mutable_data_ptr<float>();
  const std::int64_t blocks = (rows + kRowBlock - 1) / kRowBlock;
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> tile(kRowBlock * kPanel);
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kRowBlock;
      const std::int64_t count = std::min(kRowBlock, rows - first);
      for (std::int64_t p = 0; p < b.panels(); ++p) {
        multiply_block(a + first * a_stride, a_stride, round_up(count, kRowMultiple), b.panel(p),
                       b.padded_depth(), tile.data(), kPanel, /*add=*/false);
        const std::int64_t width = std::min(kPanel, columns - p * kPanel);
        for (std::int64_t row = 0; row < count; ++row) {
          add_values(tile.data() + row * kPanel, target + index[first + row] * columns + p * kPanel,
                     width);
        }
      }
    }
    end_of_blocks();
  });
}

class PackedExpertKernels final : public ExpertKernels {
 public:
  ExpertForward forward(const at::Tensor& x, std::span<const SliceWeights> slices,
                        std::vector<SliceRows> rows, std::vector<double> gates) override {
    HETMOE_CHECK(rows.size() == slices.size() && x.is_contiguous(), rows.size(), " row lists, ",
                 slices.size(), " slices");
    auto context = std::make_unique<PackedContext>();
    context->gate_up.resize(slices.size());
    at::Tensor y = at::zeros(x.sizes(), x.options().dtype(at::kFloat));
    for (std::size_t i = 0; i < slices.size(); ++i) {
      if (rows[i].row.empty()) continue;
      context->gate_up[i] = forward_slice(x, slices[i], rows[i], gates, y);
    }
    context->x = x;
    context->rows = std::move(rows);
    context->gates = std::move(gates);
    return {y.to(at::kBFloat16), std::move(context)};
  }

  ExpertBackward backward(const at::Tensor& dy, std::span<SliceWeights> slices,
                          ExpertContext& context) override {
    auto& saved = static_cast<PackedContext&>(context);
    at::Tensor dx = at::zeros(dy.sizes(), dy.options().dtype(at::kFloat));
    ExpertBackward result;
    result.dgates.assign(saved.gates.size(), 0.0);
    const at::Tensor rows_of_dy = dy.contiguous();
    for (std::size_t i = 0; i < slices.size(); ++i) {
      if (saved.rows[i].row.empty()) continue;
      backward_slice(rows_of_dy, slices[i], i, saved, dx, result.dgates);
      saved.gate_up[i].reset();
    }
    result.dx = dx.to(at::kBFloat16);
    return result;
  }

 private:
  at::Tensor forward_slice(const at::Tensor& x, const SliceWeights& slice, const SliceRows& rows,
                           const std::vector<double>& gates, at::Tensor& y) {
    const std::int64_t columns = x.size(1);
    const std::int64_t count = static_cast<std::int64_t>(rows.row.size());
    const std::int64_t width = slice.width();
    const std::int64_t padded = round_up(width, kPanel);
    const BFloat16* in = gather(x, rows.row, rows_);
    weights_.reset(columns, 2 * padded);
    weights_.pack_columns(data(slice.gate_up), width, columns, columns, 0);
    weights_.pack_columns(data(slice.gate_up) + width * columns, width, columns, columns, padded);
    weights_.zero_columns(width, padded);
    weights_.zero_columns(padded + width, 2 * padded);
    at::Tensor gate_up = at::empty({round_up(count, kRowMultiple), 2, padded}, x.options());
    BFloat16* hidden = hidden_.at_least(round_up(count, kRowMultiple) * padded);
    const auto* gate_of = gates.data();
    const std::int64_t blocks = (count + kRowBlock - 1) / kRowBlock;
    at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> tiles(2 * kRowBlock * kPanel);
      for (std::int64_t block = begin; block < end; ++block) {
        const std::int64_t first = block * kRowBlock;
        const std::int64_t n = std::min(kRowBlock, count - first);
        for (std::int64_t p = 0; p < padded / kPanel; ++p) {
          float* g = tiles.data();
          float* u = g + kRowBlock * kPanel;
          const std::int64_t m = round_up(n, kRowMultiple);
          multiply_block(in + first * columns, columns, m, weights_.panel(p), columns, g, kPanel,
                         false);
          multiply_block(in + first * columns, columns, m, weights_.panel(padded / kPanel + p),
                         columns, u, kPanel, false);
          for (std::int64_t row = 0; row < n; ++row) {
            BFloat16* saved =
                gate_up.mutable_data_ptr<BFloat16>() + (first + row) * 2 * padded + p * kPanel;
            packed_swiglu_forward(g + row * kPanel, u + row * kPanel,
                                  static_cast<float>(gate_of[rows.selection[first + row]]), saved,
                                  saved + padded, hidden + (first + row) * padded + p * kPanel);
          }
        }
      }
      end_of_blocks();
    });
    weights_.reset(padded, columns);
    pack_padded_rows(data(slice.down), width, padded, columns, 0);
    add_product_to_rows(hidden, padded, weights_, rows.row, y);
    return gate_up;
  }

  void backward_slice(const at::Tensor& dy, SliceWeights& slice, std::size_t index,
                      PackedContext& saved, at::Tensor& dx, std::vector<double>& dgates) {
    const SliceRows& rows = saved.rows[index];
    const std::int64_t columns = dy.size(1);
    const std::int64_t count = static_cast<std::int64_t>(rows.row.size());
    const std::int64_t stride = gradient_stride(count);
    const std::int64_t width = slice.width();
    const std::int64_t padded = round_up(width, kPanel);
    const BFloat16* dout = gather(dy, rows.row, rows_);

    weights_.reset(columns, width);  // zeroes the last panel beyond the width
    weights_.pack_columns(data(slice.down), width, columns, columns, 0);
    hidden_gradients(dout, columns, saved, index, padded, dgates);

    pack_operand(dout, count, columns);
    add_product(transposed_hidden_, stride, width, operand_,
                slice.down_gradient.mutable_data_ptr<float>(), columns);

    const BFloat16* in = gather(saved.x, rows.row, rows_);
    pack_operand(in, count, columns);
    float* gradient = slice.gate_up_gradient.mutable_data_ptr<float>();
    add_product(transposed_gate_up_, stride, width, operand_, gradient, columns);
    add_product(transposed_gate_up_ + padded * stride, stride, width, operand_,
                gradient + width * columns, columns);

    weights_.reset(2 * padded, columns);
    pack_padded_rows(data(slice.gate_up), width, padded, columns, 0);
    pack_padded_rows(data(slice.gate_up) + width * columns, width, padded, columns, padded);
    add_product_to_rows(data(saved.gate_up[index]), 2 * padded, weights_, rows.row, dx);
  }

  /// From z = dout Wd^T, block by block: gradients of gate and up in place of the saved values,
  /// their transposes and that of the gated hidden layer, and the gates' gradients.
  void hidden_gradients(const BFloat16* dout, std::int64_t columns, PackedContext& saved,
                        std::size_t index, std::int64_t padded, std::vector<double>& dgates) {
    const SliceRows& rows = saved.rows[index];
    const std::int64_t count = static_cast<std::int64_t>(rows.row.size());
    const std::int64_t stride = gradient_stride(count);
    transposed_hidden_ = hidden_.at_least(padded * stride);
    transposed_gate_up_ = transposed_.at_least(2 * padded * stride);
    BFloat16* gate_up = saved.gate_up[index].mutable_data_ptr<BFloat16>();
    const std::int64_t blocks = (count + kRowBlock - 1) / kRowBlock;
    at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> z(kRowBlock * kPanel);
      std::vector<BFloat16> hidden(kRowBlock * kPanel);
      for (std::int64_t block = begin; block < end; ++block) {
        const std::int64_t first = block * kRowBlock;
        const std::int64_t n = std::min(kRowBlock, count - first);
        std::vector<double> sums(n, 0.0);
        for (std::int64_t p = 0; p < padded / kPanel; ++p) {
          multiply_block(dout + first * columns, columns, round_up(n, kRowMultiple),
                         weights_.panel(p), columns, z.data(), kPanel, false);
          for (std::int64_t row = 0; row < n; ++row) {
            BFloat16* g = gate_up + (first + row) * 2 * padded + p * kPanel;
            sums[row] +=
                packed_swiglu_backward(z.data() + row * kPanel,
                                       static_cast<float>(saved.gates[rows.selection[first + row]]),
                                       g, g + padded, hidden.data() + row * kPanel);
          }
          transpose_panel(hidden.data(), kPanel, n, transposed_hidden_ + p * kPanel * stride, first,
                          stride);
          const BFloat16* g = gate_up + first * 2 * padded + p * kPanel;
          transpose_panel(g, 2 * padded, n, transposed_gate_up_ + p * kPanel * stride, first,
                          stride);
          transpose_panel(g + padded, 2 * padded, n,
                          transposed_gate_up_ + (padded + p * kPanel) * stride, first, stride);
        }
        for (std::int64_t row = 0; row < n; ++row) {
          dgates[rows.selection[first + row]] += sums[row];
        }
      }
      end_of_blocks();
    });
    zero_depth_padding(transposed_hidden_, padded, count);
    zero_depth_padding(transposed_gate_up_, 2 * padded, count);
  }

  void pack_operand(const BFloat16* rows, std::int64_t count, std::int64_t columns) {
    const std::int64_t depth = gradient_depth(count);
    operand_.reset(depth, columns);
    operand_.pack_rows(rows, count, columns, columns);
    operand_.zero_rows(round_up(count, 2), depth);
  }

  static void transpose_panel(const BFloat16* source, std::int64_t stride, std::int64_t rows,
                              BFloat16* target, std::int64_t first, std::int64_t depth) {
    transpose_bfloat16(source, rows, kPanel, stride, target + first, depth);
  }

  static void zero_depth_padding(BFloat16* rows, std::int64_t num_rows, std::int64_t count) {
    const std::int64_t padding = gradient_depth(count) - count;
    const std::int64_t stride = gradient_stride(count);
    for (std::int64_t i = 0; i < num_rows && padding > 0; ++i) {
      std::memset(rows + i * stride + count, 0, padding * sizeof(BFloat16));
    }
  }

  /// `width` rows of weights as rows [row, row + padded) of the packed matrix, the rest zero.
  void pack_padded_rows(const BFloat16* source, std::int64_t width, std::int64_t padded,
                        std::int64_t columns, std::int64_t row) {
    weights_.pack_rows(source, width, columns, columns, row);
    weights_.zero_rows(row + round_up(width, 2), row + padded);
  }

  ReusedBuffer rows_, hidden_, transposed_;
  PackedMatrix weights_, operand_;
  BFloat16* transposed_hidden_ = nullptr;   ///< [padded width, stride], in hidden_
  BFloat16* transposed_gate_up_ = nullptr;  ///< [2 padded widths, stride], in transposed_
};

}  // namespace

std::unique_ptr<ExpertKernels> make_packed_expert_kernels() {
  return std::make_unique<PackedExpertKernels>();
}

}  // namespace hetmoe
