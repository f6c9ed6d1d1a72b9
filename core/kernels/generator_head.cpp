#include "core/kernels/generator_head.h"

#include <ATen/Parallel.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/linear.h"
#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/packed_product.h"
#include "core/kernels/tensor_work.h"
#include "core/kernels/transpose.h"
#include "core/kernels/vector_math.h"

// The heads are most of a hypernetwork's parameters, and few rows meet them: time goes by memory.
// So each part of a head is read once, and everything that concerns it is done while it is in the
// cache.

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kPanel = PackedMatrix::kPanelColumns;
// Outputs that are computed at once, or whose gradients are narrowed, transposed and multiplied: a
// run of memory in every row, and small enough for the cache.
constexpr std::int64_t kChunk = 256;
// Parts of the outputs with a sum of dcode each, added in order: not a number of threads, so that
// the sum does not depend on it.
constexpr std::int64_t kSegments = 16;

bool can_pack(const at::Tensor& code) {
  return code.is_cpu() && code.scalar_type() == at::kBFloat16 && packed_products_available() &&
         code.size(1) % PackedMatrix::kDepthMultiple == 0;
}

const BFloat16* data(const at::Tensor& tensor) { return tensor.const_data_ptr<BFloat16>(); }

HETMOE_VECTORIZED void add_bias(const float* in, const BFloat16* bias, BFloat16* out,
                                std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = narrow_to_bfloat16(in[i] + widen(bias[i]));
}

HETMOE_VECTORIZED void narrow_and_sum(const float* in, BFloat16* out, float* sum,
                                      std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = narrow_to_bfloat16(in[i]);
    sum[i] += in[i];
  }
}

HETMOE_VECTORIZED void add_values(const float* in, float* sum, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += in[i];
}

/// Calls run(first row, rows, rows with padding) for blocks of rows.
template <typename Run>
void for_row_blocks(std::int64_t rows, const Run& run) {
  for (std::int64_t first = 0; first < rows; first += kRowBlock) {
    const std::int64_t count = std::min(kRowBlock, rows - first);
    run(first, count, round_up(count, PackedMatrix::kDepthMultiple));
  }
}

/// The code with rows of zeros up to a multiple of 32: sizes of products repeat.
std::vector<BFloat16> padded_rows(const at::Tensor& code) {
  const std::int64_t columns = code.size(1);
  std::vector<BFloat16> rows(round_up(code.size(0), PackedMatrix::kDepthMultiple) * columns);
  std::copy_n(data(code), code.numel(), rows.begin());
  return rows;
}

at::Tensor packed_forward(const at::Tensor& code, const GeneratorHead& head) {
  const std::int64_t rows = code.size(0);
  const std::int64_t depth = code.size(1);
  const std::int64_t outputs = head.weight.size(0);
  const std::vector<BFloat16> in = padded_rows(code);
  const BFloat16* weight = data(head.weight);
  const BFloat16* bias = data(head.bias);
  at::Tensor out = at::empty({rows, outputs}, code.options());
  auto* target = out.mutable_data_ptr<BFloat16>();
  const std::int64_t chunks = (outputs + kChunk - 1) / kChunk;
  at::parallel_for(0, chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    PackedMatrix packed;
    std::vector<float> strip(kRowBlock * kChunk);
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      const std::int64_t column = chunk * kChunk;
      const std::int64_t width = std::min(kChunk, outputs - column);
      packed.reset(depth, width);
      packed.pack_columns(weight + column * depth, width, depth, depth);
      for_row_blocks(rows, [&](std::int64_t first, std::int64_t count, std::int64_t padded) {
        for (std::int64_t p = 0; p < packed.panels(); ++p) {
          multiply_block(in.data() + first * depth, depth, padded, packed.panel(p), depth,
                         strip.data() + p * kPanel, kChunk, /*add=*/false);
        }
        for (std::int64_t row = 0; row < count; ++row) {
          add_bias(strip.data() + row * kChunk, bias + column,
                   target + (first + row) * outputs + column, width);
        }
      });
    }
    end_of_blocks();
  });
  return out;
}

/// The backward pass of some outputs of a head after others.
class PackedBackward {
 public:
  PackedBackward(const at::Tensor& dout, const at::Tensor& code, GeneratorHead& head,
                 GradientSum sum, const PackedMatrix& packed_code)
      : begins_(sum == GradientSum::kBegin),
        rows_(dout.size(0)),
        padded_(packed_code.padded_depth()),
        depth_(code.size(1)),
        outputs_(dout.size(1)),
        dout_(dout.const_data_ptr<float>()),
        weight_(data(head.weight)),
        packed_code_(packed_code),
        weight_gradient_(head.weight_gradient.mutable_data_ptr<float>()),
        bias_gradient_(head.bias_gradient.mutable_data_ptr<float>()) {}

  /// Adds the part of outputs [begin, end) to dcode [padded rows, h].
  void run(std::int64_t begin, std::int64_t end, float* dcode) {
    for (std::int64_t column = begin; column < end; column += kChunk) {
      const std::int64_t width = std::min(kChunk, end - column);
      narrow_chunk(column, width);
      BFloat16* transposed = transposed_buffer_.at_least(kChunk * padded_);
      transpose_bfloat16(narrow_, padded_, width, stride(width), transposed, padded_);
      add_product(transposed, padded_, width, packed_code_, weight_gradient_ + column * depth_,
                  depth_, /*add=*/!begins_);
      chunk_weight_.reset(width, depth_);
      chunk_weight_.pack_rows(weight_ + column * depth_, width, depth_, depth_);
      add_code_gradient(stride(width), dcode);
    }
  }

 private:
  static std::int64_t stride(std::int64_t width) {
    return round_up(width, PackedMatrix::kDepthMultiple);
  }

  /// dout's columns in bf16 [padded rows, stride], zeros in the padding; the bias' gradient.
  void narrow_chunk(std::int64_t column, std::int64_t width) {
    narrow_ = narrow_buffer_.at_least(padded_ * kChunk);
    std::memset(narrow_, 0, padded_ * stride(width) * sizeof(BFloat16));
    if (begins_) std::fill_n(bias_gradient_ + column, width, 0.0F);
    for (std::int64_t row = 0; row < rows_; ++row) {
      narrow_and_sum(dout_ + row * outputs_ + column, narrow_ + row * stride(width),
                     bias_gradient_ + column, width);
    }
  }

  void add_code_gradient(std::int64_t width, float* dcode) {
    for_row_blocks(rows_, [&](std::int64_t first, std::int64_t /*count*/, std::int64_t padded) {
      for (std::int64_t p = 0; p < chunk_weight_.panels(); ++p) {
        multiply_block(narrow_ + first * width, width, padded, chunk_weight_.panel(p), width,
                       dcode + first * depth_ + p * kPanel, depth_, /*add=*/true,
                       std::min(kPanel, depth_ - p * kPanel));
      }
    });
  }

  bool begins_;
  std::int64_t rows_, padded_, depth_, outputs_;
  const float* dout_;
  const BFloat16* weight_;
  const PackedMatrix& packed_code_;
  float* weight_gradient_;
  float* bias_gradient_;
  ReusedBuffer narrow_buffer_, transposed_buffer_;
  BFloat16* narrow_ = nullptr;
  PackedMatrix chunk_weight_;
};

at::Tensor packed_backward(const at::Tensor& dout, const at::Tensor& code, GeneratorHead& head,
                           GradientSum sum) {
  const std::int64_t rows = code.size(0);
  const std::int64_t depth = code.size(1);
  const std::int64_t padded = round_up(rows, PackedMatrix::kDepthMultiple);
  const std::int64_t outputs = dout.size(1);
  const std::int64_t segment = round_up((outputs + kSegments - 1) / kSegments, kChunk);
  const std::int64_t segments = (outputs + segment - 1) / segment;
  PackedMatrix packed_code;
  packed_code.reset(rows, depth);
  packed_code.pack_rows(data(code), rows, depth, depth);
  at::Tensor parts = at::zeros({segments, padded, depth}, at::TensorOptions(at::kFloat));
  auto* sums = parts.mutable_data_ptr<float>();
  at::parallel_for(0, segments, 1, [&](std::int64_t begin, std::int64_t end) {
    PackedBackward backward(dout, code, head, sum, packed_code);
    for (std::int64_t s = begin; s < end; ++s) {
      backward.run(s * segment, std::min(outputs, (s + 1) * segment), sums + s * padded * depth);
    }
    end_of_blocks();
  });
  for (std::int64_t s = 1; s < segments; ++s) {
    add_values(sums + s * padded * depth, sums, rows * depth);
  }
  return parts[0].narrow(0, 0, rows);
}

}  // namespace

void begin_with_zeros(GeneratorHead& head) {
  head.weight_gradient.zero_();
  head.bias_gradient.zero_();
}

at::Tensor generator_head_forward(const at::Tensor& code, const GeneratorHead& head) {
  const double out_bytes = static_cast<double>(code.size(0)) * bytes_of(head.bias);
  const Operation operation("generator head",
                            {product_flops(code.size(0), head.weight.size(0), code.size(1)),
                             bytes_of(code, head.weight) + out_bytes});
  HETMOE_CHECK(code.is_contiguous() && code.size(1) == head.weight.size(1), "code of ",
               code.size(1), ", head of ", head.weight.size(1));
  if (can_pack(code)) return packed_forward(code, head);
  return at::addmm(head.bias, code, head.weight.t());
}

at::Tensor generator_head_backward(const at::Tensor& dout, const at::Tensor& code,
                                   GeneratorHead& head, GradientSum sum) {
  const bool begins = sum == GradientSum::kBegin;
  const Operation operation(
      "generator head",
      {2 * product_flops(code.size(0), head.weight.size(0), code.size(1)),
       bytes_of(dout, head.weight) + (begins ? 1 : 2) * bytes_of(head.weight_gradient)});
  HETMOE_CHECK(
      dout.is_contiguous() && dout.size(0) == code.size(0) && dout.size(1) == head.weight.size(0),
      "gradient of ", dout.size(1), " outputs, head of ", head.weight.size(0));
  if (code.size(0) == 0) {
    if (begins) begin_with_zeros(head);
    return at::zeros(code.sizes(), dout.options());
  }
  if (can_pack(code)) return packed_backward(dout, code, head, sum);
  const at::Tensor narrow = dout.to(code.scalar_type());
  add_weight_gradient(narrow, code, head.weight_gradient, sum);
  if (begins) head.bias_gradient.zero_();
  head.bias_gradient.add_(at::sum(dout, {0}));
  if (code.is_cpu()) return at::mm(narrow, head.weight).to(dout.scalar_type());
  at::Tensor dcode = at::zeros(code.sizes(), dout.options());
  on_gpu::add_product(narrow, head.weight, dcode);
  return dcode;
}

Adapters generate_adapters(const at::Tensor& code, const AdapterHeads& heads) {
  const std::int64_t rows = code.size(0);
  const std::int64_t features = heads.hidden_size();
  const std::int64_t rank = heads.rank();
  return {generator_head_forward(code, heads.down).view({rows, features, rank}),
          generator_head_forward(code, heads.up).view({rows, rank, features}),
          generator_head_forward(code, heads.down_bias),
          generator_head_forward(code, heads.up_bias)};
}

at::Tensor generate_adapters_backward(const Adapters& gradients, const at::Tensor& code,
                                      AdapterHeads& heads, GradientSum sum) {
  at::Tensor dcode = generator_head_backward(gradients.down.flatten(1), code, heads.down, sum);
  dcode.add_(generator_head_backward(gradients.up.flatten(1), code, heads.up, sum));
  dcode.add_(generator_head_backward(gradients.down_bias, code, heads.down_bias, sum));
  dcode.add_(generator_head_backward(gradients.up_bias, code, heads.up_bias, sum));
  return dcode;
}

}  // namespace hetmoe
