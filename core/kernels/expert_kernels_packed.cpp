#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/expert_kernels.h"
#include "core/kernels/packed_product.h"
#include "core/kernels/packed_swiglu.h"
#include "core/kernels/tensor_work.h"
#include "core/kernels/transpose.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kPanel = PackedMatrix::kPanelColumns;
static_assert(kPanel == kSwigluTokens);

// The micro-kernels are compiled per size and stride and kept. Row counts change every step: rows
// of a block go up to the next multiple of 16 (what lies there is multiplied and not used), depths
// of weight gradients to the next multiple of 32 (zeros).
constexpr std::int64_t kRowMultiple = 16;
// Units whose three weight gradients are made while what they are made of is in the cache.
constexpr std::int64_t kGradientUnits = 128;
constexpr std::int64_t kSumRows = 256;

const BFloat16* data(const at::Tensor& tensor) { return tensor.const_data_ptr<BFloat16>(); }
std::uint32_t* words(BFloat16* memory) { return reinterpret_cast<std::uint32_t*>(memory); }

HETMOE_VECTORIZED void add_values(const float* in, float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] += in[i];
}

struct PackedContext final : ExpertContext {
  at::Tensor x;
  std::vector<SliceRows> rows;
  std::vector<double> gates;
  std::vector<at::Tensor> gate_up;  ///< per slice Wgu x^T in tiles, one behind the other, if kept
};

/// Tokens [token, token + kPanel) of a unit block in what forward saved: [gate and
/// up][units][tokens] of all its tiles one behind the other, tokens of the last tile up to a
/// multiple of 16.
SwigluTile saved_tile(BFloat16* saved, std::int64_t count, std::int64_t unit, std::int64_t units,
                      std::int64_t token) {
  const std::int64_t rows = round_up(count, kRowMultiple);
  const std::int64_t tokens = std::min(kPanel, rows - token);
  BFloat16* gate = saved + 2 * (unit * rows + units * token);
  return {.units = units, .tokens = tokens, .saved_gate = gate, .saved_up = gate + units * tokens};
}

/// Brings a part of the memory that a later product begins with into the second cache.
void prefetch(const BFloat16* memory, std::int64_t elements, std::int64_t part,
              std::int64_t parts) {
  const char* lines = reinterpret_cast<const char*>(memory);
  const std::int64_t bytes = elements * static_cast<std::int64_t>(sizeof(BFloat16));
  for (std::int64_t i = round_up(bytes * part / parts, 64); i < bytes * (part + 1) / parts; i += 64)
    __builtin_prefetch(lines + i, 0, 2);
}

/// sum[index[i]] += (a [n, depth] * b)[i], block by block in fp32.
void add_product_to_rows(const BFloat16* a, std::int64_t a_stride, const PackedMatrix& b,
                         const std::vector<std::int64_t>& index, at::Tensor& sum) {
  const std::int64_t rows = static_cast<std::int64_t>(index.size());
  const std::int64_t columns = sum.size(1);
  auto* target = sum.mutable_data_ptr<float>();
  const std::int64_t blocks = (rows + kSumRows - 1) / kSumRows;
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float tile[kSumRows * kPanel];
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kSumRows;
      const std::int64_t count = std::min(kSumRows, rows - first);
      for (std::int64_t p = 0; p < b.panels(); ++p) {
        multiply_tile(a + first * a_stride, a_stride, round_up(count, kRowMultiple), b.panel(p),
                      b.padded_depth(), tile);
        const std::int64_t width = std::min(kPanel, columns - p * kPanel);
        for (std::int64_t row = 0; row < count; ++row) {
          add_values(tile + row * kPanel, target + index[first + row] * columns + p * kPanel,
                     width);
        }
      }
    }
    end_of_blocks();
  });
}

/// tile [units, 64] = weights [units, depth] * `count` tokens of the panel, up to a multiple of 16.
void multiply_tokens(const BFloat16* weights, std::int64_t units, const PackedMatrix& tokens,
                     std::int64_t panel, std::int64_t count, float* tile) {
  const std::int64_t depth = tokens.padded_depth();
  multiply_block(weights, depth, units, tokens.panel(panel), depth, tile, kPanel, /*add=*/false,
                 round_up(count, kRowMultiple));
}

class PackedExpertKernels final : public ExpertKernels {
 public:
  explicit PackedExpertKernels(GateUpProducts products)
      : keeps_(products == GateUpProducts::kKept) {}

  ExpertForward forward(const at::Tensor& x, std::span<const SliceWeights> slices,
                        std::vector<SliceRows> rows, std::vector<double> gates) override {
    HETMOE_CHECK(rows.size() == slices.size() && x.is_contiguous(), rows.size(), " row lists, ",
                 slices.size(), " slices");
    auto context = std::make_unique<PackedContext>();
    context->gate_up.resize(slices.size());
    at::Tensor y = at::zeros(x.sizes(), x.options().dtype(at::kFloat));
    for (std::size_t i = 0; i < slices.size(); ++i) {
      if (rows[i].row.empty()) continue;
      BFloat16* gate_up = memory_of_gate_up(x, slices[i], rows[i], context->gate_up[i]);
      forward_slice(x, slices[i], rows[i], gates, gate_up, y);
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
      BFloat16* gate_up = keeps_ ? saved.gate_up[i].mutable_data_ptr<BFloat16>()
                                 : gate_up_again(saved, slices[i], i);
      backward_slice(rows_of_dy, slices[i], i, saved, gate_up, dx, result.dgates);
      saved.gate_up[i].reset();
    }
    result.dx = dx.to(at::kBFloat16);
    return result;
  }

 private:
  /// For Wgu x^T of a slice: in `kept`, or what all slices use one after another.
  BFloat16* memory_of_gate_up(const at::Tensor& x, const SliceWeights& slice, const SliceRows& rows,
                              at::Tensor& kept) {
    const std::int64_t n = round_up(static_cast<std::int64_t>(rows.row.size()), kRowMultiple);
    if (!keeps_) return gate_up_.at_least(2 * slice.width() * n);
    kept = at::empty({2, slice.width(), n}, x.options());
    return kept.mutable_data_ptr<BFloat16>();
  }

  BFloat16* gate_up_again(const PackedContext& saved, const SliceWeights& slice,
                          std::size_t index) {
    const SliceRows& rows = saved.rows[index];
    const Operation recomputation(kRecomputation, {});
    const Operation operation(
        "gate and up", product_work(static_cast<std::int64_t>(rows.row.size()), 2 * slice.width(),
                                    saved.x.size(1), sizeof(BFloat16)));
    at::Tensor none;
    BFloat16* gate_up = memory_of_gate_up(saved.x, slice, rows, none);
    gate_up_products(saved.x, slice, rows, saved.gates, gate_up,
                     [](std::int64_t, std::int64_t, std::int64_t, const std::uint32_t*) {});
    return gate_up;
  }

  /// Wgu x^T of a slice into `gate_up`; of every tile hidden(unit, token, tokens, pairs of units).
  template <typename Hidden>
  void gate_up_products(const at::Tensor& x, const SliceWeights& slice, const SliceRows& rows,
                        const std::vector<double>& gates, BFloat16* gate_up, Hidden hidden) {
    const std::int64_t columns = x.size(1);
    const std::int64_t count = static_cast<std::int64_t>(rows.row.size());
    const std::int64_t width = slice.width();
    take_gates(rows, gates);
    tokens_.reset(columns, count);
    tokens_.pack_columns(data(x), count, columns, columns, rows.row.data());
    const BFloat16* weights = data(slice.gate_up);
    const std::int64_t panels = tokens_.panels();
    const std::int64_t blocks = (width + kSwigluUnits - 1) / kSwigluUnits;
    at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      alignas(64) float g[kSwigluUnits * kPanel], u[kSwigluUnits * kPanel];
      alignas(64) std::uint32_t pairs[kSwigluUnits / 2 * kPanel];
      for (std::int64_t block = begin; block < end; ++block) {
        const std::int64_t unit = block * kSwigluUnits;
        const std::int64_t units = std::min(kSwigluUnits, width - unit);
        for (std::int64_t token = 0; token < count; token += kPanel) {
          const std::int64_t here = std::min(kPanel, count - token);
          const std::int64_t next = std::min(kSwigluUnits, width - unit - units) * columns;
          prefetch(weights + (unit + units) * columns, next, token / kPanel, panels);
          prefetch(weights + (width + unit + units) * columns, next, token / kPanel, panels);
          multiply_tokens(weights + unit * columns, units, tokens_, token / kPanel, here, g);
          multiply_tokens(weights + (width + unit) * columns, units, tokens_, token / kPanel, here,
                          u);
          SwigluTile tile = saved_tile(gate_up, count, unit, units, token);
          tile.gates = gates_.data() + token;
          packed_swiglu_forward(g, u, tile, pairs);
          hidden(unit, token, here, pairs);
        }
      }
      end_of_blocks();
    });
  }

  void forward_slice(const at::Tensor& x, const SliceWeights& slice, const SliceRows& rows,
                     const std::vector<double>& gates, BFloat16* gate_up, at::Tensor& y) {
    const std::int64_t columns = x.size(1);
    const std::int64_t count = static_cast<std::int64_t>(rows.row.size());
    const std::int64_t width = slice.width();
    const std::int64_t stride = packed_row_stride(width);
    BFloat16* hidden = hidden_.at_least(round_up(count, kRowMultiple) * stride);
    gate_up_products(
        x, slice, rows, gates, gate_up,
        [&](std::int64_t unit, std::int64_t token, std::int64_t here, const std::uint32_t* pairs) {
          transpose_words(pairs, kSwigluUnits / 2, here, kPanel,
                          words(hidden + token * stride + unit), stride / 2);
        });
    weights_.reset(width, columns);
    weights_.pack_rows(data(slice.down), width, columns, columns);
    add_product_to_rows(hidden, stride, weights_, rows.row, y);
  }

  void backward_slice(const at::Tensor& dy, SliceWeights& slice, std::size_t index,
                      PackedContext& saved, BFloat16* gate_up_of_rows, at::Tensor& dx,
                      std::vector<double>& dgates) {
    const SliceRows& rows = saved.rows[index];
    const std::int64_t columns = dy.size(1);
    const std::int64_t count = static_cast<std::int64_t>(rows.row.size());
    const std::int64_t width = slice.width();
    const std::int64_t padded = round_up(width, kSwigluUnits);
    take_gates(rows, saved.gates);
    tokens_.reset(columns, count);
    tokens_.pack_columns(data(dy), count, columns, columns, rows.row.data());
    rows_of_dy_.reset(count, columns);
    rows_of_dy_.pack_rows(data(dy), count, columns, columns, 0, rows.row.data());
    rows_of_x_.reset(count, columns);
    rows_of_x_.pack_rows(data(saved.x), count, columns, columns, 0, rows.row.data());

    hidden_gradients(slice, gate_up_of_rows, rows, dgates);
    slice.sum = GradientSum::kContinue;

    weights_.reset(2 * padded, columns);
    const BFloat16* gate_up = data(slice.gate_up);
    for (const std::int64_t half : {0, 1}) {
      weights_.pack_rows(gate_up + half * width * columns, width, columns, columns, half * padded);
      weights_.zero_rows(half * padded + round_up(width, 2), (half + 1) * padded);
    }
    add_product_to_rows(hidden_.at_least(0), packed_row_stride(2 * padded), weights_, rows.row, dx);
  }

  /// Unit block by unit block: z = Wd dout^T, from it gradients of gate and up, and the gradients
  /// of the block's weights; those of the gates; and in hidden_ [n, gate and up, padded] what dx
  /// is made of.
  void hidden_gradients(SliceWeights& slice, BFloat16* saved, const SliceRows& rows,
                        std::vector<double>& dgates) {
    const std::int64_t count = static_cast<std::int64_t>(rows.row.size());
    const std::int64_t width = slice.width();
    const std::int64_t blocks = (width + kGradientUnits - 1) / kGradientUnits;
    const std::int64_t stride = packed_row_stride(count);
    const std::int64_t tokens = round_up(count, kPanel);
    token_sums_.assign(blocks * tokens, 0.0F);
    hidden_.at_least(round_up(count, kRowMultiple) *
                     packed_row_stride(2 * round_up(width, kSwigluUnits)));
    BFloat16* scratch = transposed_.at_least(at::get_num_threads() * 3 * kGradientUnits * stride);
    at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      BFloat16* mine = scratch + at::get_thread_num() * 3 * kGradientUnits * stride;
      for (std::int64_t block = begin; block < end; ++block) {
        const UnitBlock of{.first = block * kGradientUnits,
                           .units = std::min(kGradientUnits, width - block * kGradientUnits),
                           .hidden = mine,
                           .gate = mine + kGradientUnits * stride,
                           .up = mine + 2 * kGradientUnits * stride,
                           .stride = stride,
                           .token_sums = token_sums_.data() + block * tokens};
        activation_gradients(slice, saved, count, of);
        zero_depth_padding(of, count);
        weight_gradients(slice, of);
      }
    });
    for (std::int64_t block = 0; block < blocks; ++block) {
      for (std::int64_t i = 0; i < count; ++i) {
        dgates[rows.selection[i]] += static_cast<double>(token_sums_[block * tokens + i]);
      }
    }
  }

  /// Units [first, first + units) of a slice and where what concerns them goes, [units, stride].
  struct UnitBlock {
    std::int64_t first, units;
    BFloat16 *hidden, *gate, *up;
    std::int64_t stride;
    float* token_sums;
  };

  void activation_gradients(const SliceWeights& slice, BFloat16* saved, std::int64_t count,
                            const UnitBlock& of) {
    const std::int64_t width = slice.width();
    const std::int64_t columns = slice.down.size(1);
    const std::int64_t padded = round_up(width, kSwigluUnits);
    const std::int64_t row = packed_row_stride(2 * padded);
    BFloat16* gradients = hidden_.at_least(0);
    alignas(64) float z[kSwigluUnits * kPanel];
    alignas(64) std::uint32_t pairs[2][kSwigluUnits / 2 * kPanel];
    for (std::int64_t done = 0; done < of.units; done += kSwigluUnits) {
      const std::int64_t unit = of.first + done;
      const std::int64_t units = std::min(kSwigluUnits, of.units - done);
      for (std::int64_t token = 0; token < count; token += kPanel) {
        const std::int64_t here = std::min(kPanel, count - token);
        const std::int64_t at = done * of.stride + token;
        SwigluTile tile = saved_tile(saved, count, unit, units, token);
        tile.gates = gates_.data() + token;
        prefetch(data(slice.down) + (unit + units) * columns,
                 std::min(kSwigluUnits, width - unit - units) * columns, token / kPanel,
                 tokens_.panels());
        multiply_tokens(data(slice.down) + unit * columns, units, tokens_, token / kPanel, here, z);
        packed_swiglu_backward(z, tile,
                               {.hidden = of.hidden + at,
                                .gate = of.gate + at,
                                .up = of.up + at,
                                .stride = of.stride,
                                .gate_pairs = pairs[0],
                                .up_pairs = pairs[1]},
                               of.token_sums + token);
        for (const int half : {0, 1}) {
          transpose_words(pairs[half], kSwigluUnits / 2, here, kPanel,
                          words(gradients + token * row + half * padded + unit), row / 2);
        }
      }
    }
  }

  /// Depth of weight gradients beyond the tokens.
  static void zero_depth_padding(const UnitBlock& of, std::int64_t count) {
    const std::int64_t first = round_up(count, kRowMultiple);
    const std::int64_t padding = round_up(count, PackedMatrix::kDepthMultiple) - first;
    for (std::int64_t i = 0; i < of.units && padding > 0; ++i) {
      for (BFloat16* rows : {of.hidden, of.gate, of.up}) {
        std::fill_n(rows + i * of.stride + first, padding, BFloat16(0));
      }
    }
  }

  void weight_gradients(SliceWeights& slice, const UnitBlock& of) {
    const std::int64_t columns = slice.down.size(1);
    float* down = slice.down_gradient.mutable_data_ptr<float>();
    float* gate_up = slice.gate_up_gradient.mutable_data_ptr<float>();
    const bool adds = slice.sum == GradientSum::kContinue;
    add_product(of.hidden, of.stride, of.units, rows_of_dy_, down + of.first * columns, columns,
                adds);
    add_product(of.gate, of.stride, of.units, rows_of_x_, gate_up + of.first * columns, columns,
                adds);
    add_product(of.up, of.stride, of.units, rows_of_x_,
                gate_up + (slice.width() + of.first) * columns, columns, adds);
  }

  /// gates_: one per row in fp32, 0 up to a whole panel.
  void take_gates(const SliceRows& rows, const std::vector<double>& gates) {
    gates_.assign(round_up(static_cast<std::int64_t>(rows.row.size()), kPanel), 0.0F);
    for (std::size_t i = 0; i < rows.selection.size(); ++i) {
      gates_[i] = static_cast<float>(gates[rows.selection[i]]);
    }
  }

  bool keeps_;
  ReusedBuffer hidden_, transposed_;
  ReusedBuffer gate_up_;  ///< of one slice, where they are not kept
  PackedMatrix tokens_, weights_, rows_of_dy_, rows_of_x_;
  std::vector<float> gates_, token_sums_;
};

}  // namespace

std::unique_ptr<ExpertKernels> make_packed_expert_kernels(GateUpProducts products) {
  return std::make_unique<PackedExpertKernels>(products);
}

}  // namespace hetmoe
