#include "core/kernels/adapter_packed.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/packed_product.h"
#include "core/kernels/transpose.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kPanel = PackedMatrix::kPanelColumns;

// The micro-kernels are compiled per size and kept, and the tokens of a group change every step:
// rows go up to the next multiple of 32. What lies there is multiplied and not used, or is zero.
constexpr std::int64_t kRowMultiple = 32;

// Tokens that go through all products of a pass while they are in the cache.
constexpr std::int64_t kBlockTokens = 256;

// Rows of a transposed block begin this much apart beyond their length: at a power of two the rows
// of a tile would fall on the same lines of the cache.
constexpr std::int64_t kStridePadding = 32;

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

/// Up to kBlockTokens tokens of one group, by their places in TokenGroups::token.
struct TokenBlock {
  std::int64_t group;
  std::int64_t begin;
  std::int64_t rows;
};

std::vector<TokenBlock> blocks_of_group(const TokenGroups& groups, std::int64_t group) {
  std::vector<TokenBlock> blocks;
  const std::int64_t end = groups.begin[group + 1];
  for (std::int64_t begin = groups.begin[group]; begin < end; begin += kBlockTokens) {
    blocks.push_back({group, begin, std::min(kBlockTokens, end - begin)});
  }
  return blocks;
}

std::vector<TokenBlock> all_blocks(const TokenGroups& groups) {
  std::vector<TokenBlock> blocks;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    const auto of_group = blocks_of_group(groups, g);
    blocks.insert(blocks.end(), of_group.begin(), of_group.end());
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

/// Products of the rows of a block with packed weights.
class BlockProduct {
 public:
  /// a [rows, depth] * weights; finish(row, column, width, fp32 values) takes each row of a strip
  /// of columns, long enough to be written in one run.
  template <typename Finish>
  void run(const BFloat16* a, std::int64_t rows, const PackedMatrix& weights, std::int64_t columns,
           const Finish& finish) {
    const std::int64_t depth = weights.padded_depth();
    for (std::int64_t top = 0; top < rows; top += kRowBlock) {
      const std::int64_t count = std::min(kRowBlock, rows - top);
      for (std::int64_t begin = 0; begin < weights.panels(); begin += kStripPanels) {
        const std::int64_t panels = std::min(kStripPanels, weights.panels() - begin);
        const std::int64_t stride = panels * kPanel;
        for (std::int64_t p = 0; p < panels; ++p) {
          multiply_block(a + top * depth, depth, round_up(count, kRowMultiple),
                         weights.panel(begin + p), depth, strip_.data() + p * kPanel, stride,
                         /*add=*/false);
        }
        const std::int64_t column = begin * kPanel;
        const std::int64_t width = std::min(stride, columns - column);
        for (std::int64_t row = 0; row < count; ++row) {
          finish(top + row, column, width, strip_.data() + row * stride);
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kStripPanels = 8;
  std::vector<float> strip_ = std::vector<float>(kRowBlock * kPanel * kStripPanels);
};

/// Runs blocks through the two products of one adapter after another.
class Forward {
 public:
  Forward(const at::Tensor& x, const TokenGroups& groups, const Adapters& adapters, at::Tensor& y,
          at::Tensor& hidden)
      : x_(x),
        tokens_(groups.token.data()),
        adapters_(adapters),
        columns_(x.size(1)),
        rank_(adapters.rank()),
        y_(y.mutable_data_ptr<BFloat16>()),
        hidden_(hidden.mutable_data_ptr<BFloat16>()) {}

  void run(const TokenBlock& block) {
    if (block.group != packed_group_) pack(block.group);
    const std::int64_t* tokens = tokens_ + block.begin;
    const BFloat16* down_bias = of_group(adapters_.down_bias, block.group);
    const BFloat16* up_bias = of_group(adapters_.up_bias, block.group);
    const BFloat16* rows = gather(x_, tokens, block.rows, rows_);
    BFloat16* units = units_.at_least(round_up(block.rows, kRowMultiple) * rank_);
    product_.run(rows, block.rows, down_, rank_,
                 [&](std::int64_t row, std::int64_t column, std::int64_t width, float* values) {
                   add_bias_relu(values, down_bias + column, units + row * rank_ + column, width);
                 });
    std::memcpy(hidden_ + block.begin * rank_, units, block.rows * rank_ * sizeof(BFloat16));
    product_.run(units, block.rows, up_, columns_,
                 [&](std::int64_t row, std::int64_t column, std::int64_t width, float* values) {
                   add_bias(values, up_bias + column, y_ + tokens[row] * columns_ + column, width);
                 });
  }

 private:
  void pack(std::int64_t group) {
    down_.reset(columns_, rank_);
    down_.pack_rows(of_group(adapters_.down, group), columns_, rank_, rank_);
    up_.reset(rank_, columns_);
    up_.pack_rows(of_group(adapters_.up, group), rank_, columns_, columns_);
    packed_group_ = group;
  }

  const at::Tensor& x_;
  const std::int64_t* tokens_;
  const Adapters& adapters_;
  std::int64_t columns_, rank_;
  BFloat16* y_;
  BFloat16* hidden_;
  std::int64_t packed_group_ = -1;
  PackedMatrix down_, up_;
  ReusedBuffer rows_, units_;
  BlockProduct product_;
};

/// The backward pass of whole groups: a group's gradients are summed by one thread, block by block.
class Backward {
 public:
  Backward(const at::Tensor& dy, const at::Tensor& x, const TokenGroups& groups,
           const Adapters& adapters, const at::Tensor& hidden, Adapters& gradients, GradientSum sum,
           at::Tensor& dx)
      : dy_(dy),
        x_(x),
        groups_(groups),
        adapters_(adapters),
        gradients_(gradients),
        sum_(sum),
        columns_(x.size(1)),
        rank_(adapters.rank()),
        hidden_(data(hidden)),
        dx_(dx.mutable_data_ptr<BFloat16>()) {}

  void run(std::int64_t group) {
    const auto blocks = blocks_of_group(groups_, group);
    begin_sums(group, blocks.empty());
    if (blocks.empty()) return;
    up_.reset(columns_, rank_);
    up_.pack_columns(of_group(adapters_.up, group), rank_, columns_, columns_);
    down_.reset(rank_, columns_);
    down_.pack_columns(of_group(adapters_.down, group), columns_, rank_, rank_);
    for (const TokenBlock& block : blocks) run(block);
  }

 private:
  /// Weights are cleared for a group without tokens only: elsewhere the first block's product
  /// replaces them.
  void begin_sums(std::int64_t group, bool is_empty) {
    if (sum_ == GradientSum::kContinue) return;
    clear(gradients_.down_bias, group);
    clear(gradients_.up_bias, group);
    if (!is_empty) return;
    clear(gradients_.down, group);
    clear(gradients_.up, group);
  }

  static void clear(at::Tensor& stack, std::int64_t group) {
    std::fill_n(gradient_of_group(stack, group), stack.numel() / stack.size(0), 0.0F);
  }

  bool replaces(const TokenBlock& block) const {
    return sum_ == GradientSum::kBegin && block.begin == groups_.begin[block.group];
  }

  void run(const TokenBlock& block) {
    const std::int64_t* tokens = groups_.token.data() + block.begin;
    const BFloat16* units = hidden_ + block.begin * rank_;
    const BFloat16* dy_rows = gather(dy_, tokens, block.rows, rows_);
    BFloat16* dunits = dunits_.at_least(round_up(block.rows, kRowMultiple) * rank_);
    product_.run(dy_rows, block.rows, up_, rank_,
                 [&](std::int64_t row, std::int64_t column, std::int64_t width, float* values) {
                   const std::int64_t place = row * rank_ + column;
                   relu_gradient(values, units + place, dunits + place, width);
                 });
    product_.run(dunits, block.rows, down_, columns_,
                 [&](std::int64_t row, std::int64_t column, std::int64_t width, float* values) {
                   narrow_row(values, dx_ + tokens[row] * columns_ + column, width);
                 });
    add_gradient(units, rank_, dy_rows, columns_, block, gradients_.up, gradients_.up_bias);
    const BFloat16* x_rows = gather(x_, tokens, block.rows, rows_);
    add_gradient(x_rows, columns_, dunits, rank_, block, gradients_.down, gradients_.down_bias);
  }

  /// weight += left^T right, bias += sum of right's rows; left [rows, left_columns].
  void add_gradient(const BFloat16* left, std::int64_t left_columns, const BFloat16* right,
                    std::int64_t right_columns, const TokenBlock& block, at::Tensor& weight,
                    at::Tensor& bias) {
    const std::int64_t depth = round_up(block.rows, kRowMultiple);
    const std::int64_t stride = depth + kStridePadding;
    BFloat16* transposed = transposed_.at_least(left_columns * stride);
    transpose_bfloat16(left, block.rows, left_columns, left_columns, transposed, stride);
    for (std::int64_t i = 0; i < left_columns && block.rows < depth; ++i) {
      std::memset(transposed + i * stride + block.rows, 0, (depth - block.rows) * sizeof(BFloat16));
    }
    right_.reset(depth, right_columns);
    right_.pack_rows(right, block.rows, right_columns, right_columns);
    right_.zero_rows(round_up(block.rows, 2), depth);
    add_product(transposed, stride, left_columns, right_, gradient_of_group(weight, block.group),
                right_columns, !replaces(block));
    float* sums = gradient_of_group(bias, block.group);
    for (std::int64_t i = 0; i < block.rows; ++i) {
      add_row(right + i * right_columns, sums, right_columns);
    }
  }

  const at::Tensor& dy_;
  const at::Tensor& x_;
  const TokenGroups& groups_;
  const Adapters& adapters_;
  Adapters& gradients_;
  GradientSum sum_;
  std::int64_t columns_, rank_;
  const BFloat16* hidden_;
  BFloat16* dx_;
  PackedMatrix down_, up_, right_;
  ReusedBuffer rows_, dunits_, transposed_;
  BlockProduct product_;
};

}  // namespace

bool can_pack_adapters(const at::Tensor& x, const Adapters& adapters) {
  return x.scalar_type() == at::kBFloat16 && packed_products_available() &&
         x.size(1) % PackedMatrix::kDepthMultiple == 0 &&
         adapters.rank() % PackedMatrix::kDepthMultiple == 0;
}

void packed_adapter_forward(const at::Tensor& x, const TokenGroups& groups,
                            const Adapters& adapters, at::Tensor& y, at::Tensor& hidden) {
  const std::vector<TokenBlock> blocks = all_blocks(groups);
  at::parallel_for(0, static_cast<std::int64_t>(blocks.size()), 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     Forward forward(x, groups, adapters, y, hidden);
                     for (std::int64_t i = begin; i < end; ++i) forward.run(blocks[i]);
                     end_of_blocks();
                   });
}

void packed_adapter_backward(const at::Tensor& dy, const at::Tensor& x, const TokenGroups& groups,
                             const Adapters& adapters, const at::Tensor& hidden,
                             Adapters& gradients, GradientSum sum, at::Tensor& dx) {
  at::parallel_for(0, groups.size(), 1, [&](std::int64_t begin, std::int64_t end) {
    Backward backward(dy, x, groups, adapters, hidden, gradients, sum, dx);
    for (std::int64_t g = begin; g < end; ++g) backward.run(g);
    end_of_blocks();
  });
}

}  // namespace hetmoe
