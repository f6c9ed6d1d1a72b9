#include "core/kernels/adapter_packed.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/packed_product.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kPanel = PackedMatrix::kPanelColumns;

// The micro-kernels are compiled per size and kept, and the tokens of a group change every step:
// rows of a block go up to the next multiple of 32 (what lies there is multiplied and not used),
// depths of weight gradients to one that wastes little of a small group.
constexpr std::int64_t kRowMultiple = 32;

std::int64_t gradient_depth(std::int64_t rows) { return round_up(rows, rows <= 512 ? 32 : 128); }

const BFloat16* data(const at::Tensor& tensor) { return tensor.const_data_ptr<BFloat16>(); }

const BFloat16* of_group(const at::Tensor& stack, std::int64_t group) {
  return data(stack) + group * (stack.numel() / stack.size(0));
}

float* gradient_of_group(at::Tensor& stack, std::int64_t group) {
  return stack.mutable_data_ptr<float>() + group * (stack.numel() / stack.size(0));
}

HETMOE_VECTORIZED void add_bias(const float* in, const BFloat16* bias, BFloat16* out,
                                std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = narrow_to_bfloat16(in[i] + widen(bias[i]));
}

/// A NaN stays one.
HETMOE_VECTORIZED void add_bias_relu(const float* in, const BFloat16* bias, BFloat16* out,
                                     std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = in[i] + widen(bias[i]);
    out[i] = narrow_to_bfloat16(value < 0.0F ? 0.0F : value);
  }
}

HETMOE_VECTORIZED void relu_gradient(const float* in, const BFloat16* hidden, BFloat16* out,
                                     std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = narrow_to_bfloat16(widen(hidden[i]) > 0.0F ? in[i] : 0.0F);
  }
}

HETMOE_VECTORIZED void narrow_row(const float* in, BFloat16* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = narrow_to_bfloat16(in[i]);
}

HETMOE_VECTORIZED void add_row(const BFloat16* in, float* sum, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += widen(in[i]);
}

/// Up to kRowBlock tokens of one group, by their places in TokenGroups::token.
struct RowBlock {
  std::int64_t group;
  std::int64_t begin;
  std::int64_t rows;
};

std::vector<RowBlock> row_blocks(const TokenGroups& groups) {
  std::vector<RowBlock> blocks;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    for (std::int64_t begin = groups.begin[g]; begin < groups.begin[g + 1]; begin += kRowBlock) {
      blocks.push_back({g, begin, std::min(kRowBlock, groups.begin[g + 1] - begin)});
    }
  }
  return blocks;
}

/// Rows of x one below another; rows of padding up to a multiple of 32 are zero.
const BFloat16* gather(const at::Tensor& x, const std::int64_t* tokens, std::int64_t rows,
                       ReusedBuffer& buffer) {
  const std::int64_t columns = x.size(1);
  const std::int64_t padded = round_up(rows, kRowMultiple);
  BFloat16* out = buffer.at_least(padded * columns);
  const BFloat16* source = data(x);
  for (std::int64_t i = 0; i < rows; ++i) {
    std::memcpy(out + i * columns, source + tokens[i] * columns, columns * sizeof(BFloat16));
  }
  std::memset(out + rows * columns, 0, (padded - rows) * columns * sizeof(BFloat16));
  return out;
}

/// What one thread needs to run row blocks through two products, one group's weights after another.
class BlockWorker {
 public:
  /// product = a [rows, depth] * weights; finish(row, column, width, fp32 values) takes each row of
  /// a strip of columns, long enough to be written in one run.
  template <typename Finish>
  void multiply(const BFloat16* a, std::int64_t rows, const PackedMatrix& weights,
                std::int64_t columns, const Finish& finish) {
    const std::int64_t depth = weights.padded_depth();
    for (std::int64_t begin = 0; begin < weights.panels(); begin += kStripPanels) {
      const std::int64_t panels = std::min(kStripPanels, weights.panels() - begin);
      const std::int64_t stride = panels * kPanel;
      for (std::int64_t p = 0; p < panels; ++p) {
        multiply_block(a, depth, round_up(rows, kRowMultiple), weights.panel(begin + p), depth,
                       strip_.data() + p * kPanel, stride, /*add=*/false);
      }
      const std::int64_t column = begin * kPanel;
      const std::int64_t width = std::min(stride, columns - column);
      for (std::int64_t row = 0; row < rows; ++row) {
        finish(row, column, width, strip_.data() + row * stride);
      }
    }
  }

  /// True once per run of blocks of the same group: its weights must be packed.
  bool enters(std::int64_t group) {
    const bool is_new = group != group_;
    group_ = group;
    return is_new;
  }

  PackedMatrix first, second;
  ReusedBuffer gathered;
  ReusedBuffer hidden;

 private:
  static constexpr std::int64_t kStripPanels = 8;

  std::vector<float> strip_ = std::vector<float>(kRowBlock * kPanel * kStripPanels);
  std::int64_t group_ = -1;
};

/// Runs every row block; threads take blocks in order, so that a group is packed once per thread.
template <typename Run>
void for_each_block(const TokenGroups& groups, const Run& run) {
  const std::vector<RowBlock> blocks = row_blocks(groups);
  at::parallel_for(0, static_cast<std::int64_t>(blocks.size()), 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     BlockWorker worker;
                     for (std::int64_t i = begin; i < end; ++i) run(blocks[i], worker);
                     end_of_blocks();
                   });
}

/// target [columns, depth] = source [rows, columns]^T, with zeros beyond the rows.
const BFloat16* transpose_padded(const BFloat16* source, std::int64_t rows, std::int64_t columns,
                                 std::int64_t depth, ReusedBuffer& buffer) {
  BFloat16* target = buffer.at_least(columns * depth);
  transpose_bfloat16(source, rows, columns, columns, target, depth);
  for (std::int64_t i = 0; i < columns && rows < depth; ++i) {
    std::memset(target + i * depth + rows, 0, (depth - rows) * sizeof(BFloat16));
  }
  return target;
}

void pack_padded(const BFloat16* source, std::int64_t rows, std::int64_t columns,
                 std::int64_t depth, PackedMatrix& packed) {
  packed.reset(depth, columns);
  packed.pack_rows(source, rows, columns, columns);
  packed.zero_rows(round_up(rows, 2), depth);
}

void add_column_sums(const BFloat16* rows, std::int64_t count, std::int64_t columns, float* sums) {
  for (std::int64_t i = 0; i < count; ++i) add_row(rows + i * columns, sums, columns);
}

/// The weights' gradients of one group: hidden^T dy and x^T dhidden, and the sums of their rows.
void add_weight_gradients(const at::Tensor& dy, const at::Tensor& x, const TokenGroups& groups,
                          std::int64_t group, const BFloat16* hidden, const BFloat16* dhidden,
                          Adapters& gradients, BlockWorker& worker) {
  const std::int64_t begin = groups.begin[group];
  const std::int64_t count = groups.begin[group + 1] - begin;
  const std::int64_t columns = x.size(1);
  const std::int64_t rank = gradients.rank();
  const std::int64_t depth = gradient_depth(count);

  const BFloat16* dy_rows = gather(dy, groups.token.data() + begin, count, worker.gathered);
  add_column_sums(dy_rows, count, columns, gradient_of_group(gradients.up_bias, group));
  pack_padded(dy_rows, count, columns, depth, worker.first);
  add_product(transpose_padded(hidden + begin * rank, count, rank, depth, worker.hidden), depth,
              rank, worker.first, gradient_of_group(gradients.up, group), columns);

  const BFloat16* x_rows = gather(x, groups.token.data() + begin, count, worker.gathered);
  add_column_sums(dhidden + begin * rank, count, rank,
                  gradient_of_group(gradients.down_bias, group));
  pack_padded(dhidden + begin * rank, count, rank, depth, worker.second);
  add_product(transpose_padded(x_rows, count, columns, depth, worker.hidden), depth, columns,
              worker.second, gradient_of_group(gradients.down, group), rank);
}

}  // namespace

bool can_pack_adapters(const at::Tensor& x, const Adapters& adapters) {
  return x.scalar_type() == at::kBFloat16 && packed_products_available() &&
         x.size(1) % PackedMatrix::kDepthMultiple == 0 &&
         adapters.rank() % PackedMatrix::kDepthMultiple == 0;
}

void packed_adapter_forward(const at::Tensor& x, const TokenGroups& groups,
                            const Adapters& adapters, at::Tensor& y, at::Tensor& hidden) {
  const std::int64_t columns = x.size(1);
  const std::int64_t rank = adapters.rank();
  auto* out = y.mutable_data_ptr<BFloat16>();
  auto* saved = hidden.mutable_data_ptr<BFloat16>();
  for_each_block(groups, [&](const RowBlock& block, BlockWorker& worker) {
    if (worker.enters(block.group)) {
      worker.first.reset(columns, rank);
      worker.first.pack_rows(of_group(adapters.down, block.group), columns, rank, rank);
      worker.second.reset(rank, columns);
      worker.second.pack_rows(of_group(adapters.up, block.group), rank, columns, columns);
    }
    const std::int64_t* tokens = groups.token.data() + block.begin;
    const BFloat16* down_bias = of_group(adapters.down_bias, block.group);
    const BFloat16* up_bias = of_group(adapters.up_bias, block.group);
    const BFloat16* in = gather(x, tokens, block.rows, worker.gathered);
    BFloat16* units = worker.hidden.at_least(kRowBlock * rank);
    worker.multiply(in, block.rows, worker.first, rank,
                    [&](std::int64_t row, std::int64_t column, std::int64_t width, float* values) {
                      add_bias_relu(values, down_bias + column, units + row * rank + column, width);
                    });
    std::memcpy(saved + block.begin * rank, units, block.rows * rank * sizeof(BFloat16));
    worker.multiply(units, block.rows, worker.second, columns,
                    [&](std::int64_t row, std::int64_t column, std::int64_t width, float* values) {
                      add_bias(values, up_bias + column, out + tokens[row] * columns + column,
                               width);
                    });
  });
}

void packed_adapter_backward(const at::Tensor& dy, const at::Tensor& x, const TokenGroups& groups,
                             const Adapters& adapters, const at::Tensor& hidden,
                             Adapters& gradients, at::Tensor& dx) {
  const std::int64_t columns = x.size(1);
  const std::int64_t rank = adapters.rank();
  at::Tensor dhidden = at::empty(hidden.sizes(), hidden.options());
  auto* out = dx.mutable_data_ptr<BFloat16>();
  auto* saved = dhidden.mutable_data_ptr<BFloat16>();
  for_each_block(groups, [&](const RowBlock& block, BlockWorker& worker) {
    if (worker.enters(block.group)) {
      worker.first.reset(columns, rank);
      worker.first.pack_columns(of_group(adapters.up, block.group), rank, columns, columns);
      worker.second.reset(rank, columns);
      worker.second.pack_columns(of_group(adapters.down, block.group), columns, rank, rank);
    }
    const std::int64_t* tokens = groups.token.data() + block.begin;
    const BFloat16* units = data(hidden) + block.begin * rank;
    const BFloat16* dy_rows = gather(dy, tokens, block.rows, worker.gathered);
    BFloat16* dunits = worker.hidden.at_least(kRowBlock * rank);
    worker.multiply(dy_rows, block.rows, worker.first, rank,
                    [&](std::int64_t row, std::int64_t column, std::int64_t width, float* values) {
                      const std::int64_t place = row * rank + column;
                      relu_gradient(values, units + place, dunits + place, width);
                    });
    std::memcpy(saved + block.begin * rank, dunits, block.rows * rank * sizeof(BFloat16));
    worker.multiply(dunits, block.rows, worker.second, columns,
                    [&](std::int64_t row, std::int64_t column, std::int64_t width, float* values) {
                      narrow_row(values, out + tokens[row] * columns + column, width);
                    });
  });
  at::parallel_for(0, groups.size(), 1, [&](std::int64_t begin, std::int64_t end) {
    BlockWorker worker;
    for (std::int64_t g = begin; g < end; ++g) {
      if (groups.begin[g] == groups.begin[g + 1]) continue;
      add_weight_gradients(dy, x, groups, g, data(hidden), data(dhidden), gradients, worker);
    }
  });
}

}  // namespace hetmoe
