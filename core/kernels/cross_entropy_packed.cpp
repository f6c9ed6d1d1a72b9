#include "core/kernels/cross_entropy_packed.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/logit_exponentials.h"
#include "core/kernels/packed_product.h"
#include "core/kernels/transpose.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kPanel = PackedMatrix::kPanelColumns;
static_assert(kPanel == kLogitTokens && kRowBlock % kLogitRows == 0);

// Of what is kept of a chunk of tokens: each one more reads and writes the head's gradient again.
constexpr std::int64_t kChunkBytes = 64 << 20;
// Tokens of one product of the head's gradient: the packed operand stays in the second cache.
constexpr std::int64_t kGradientDepth = 1024;
// Entries of the vocabulary that meet all tokens of a chunk before the next ones do: their weights,
// as they lie and transposed, stay in the second cache, and dx is added to once for all of them.
constexpr std::int64_t kVocabularyBlock = 256;
// Above it powers of a token whose target is as good as impossible leave fp32's range.
constexpr double kLargestSum = 1e25;

const BFloat16* data(const at::Tensor& tensor) { return tensor.const_data_ptr<BFloat16>(); }

HETMOE_VECTORIZED float dot(const BFloat16* a, const BFloat16* b, std::int64_t count) {
  constexpr int kLanes = 16;
  float lane[kLanes] = {};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) lane[j] += widen(a[i + j]) * widen(b[i + j]);
  }
  float sum = 0;
  for (float value : lane) sum += value;
  return sum;
}

HETMOE_VECTORIZED void scale_row(const BFloat16* in, float factor, BFloat16* out,
                                 std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = narrow_to_bfloat16(factor * widen(in[i]));
}

HETMOE_VECTORIZED void add_scaled(const BFloat16* in, float factor, float* sum,
                                  std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += factor * widen(in[i]);
}

HETMOE_VECTORIZED void weighted_sum(const float* a, float a_factor, const BFloat16* b,
                                    float b_factor, BFloat16* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = narrow_to_bfloat16(a_factor * a[i] + b_factor * widen(b[i]));
  }
}

HETMOE_VECTORIZED void add_values(const float* in, double* sum, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += static_cast<double>(in[i]);
}

/// The passes over one chunk of tokens after another, and their memory.
class PackedHead {
 public:
  PackedHead(const at::Tensor& head, HeadGradients* gradients)
      : vocabulary_(head.size(0)),
        columns_(head.size(1)),
        weights_(data(head)),
        gradients_(gradients) {}

  /// Tokens [first, first + targets) of all.
  double run(const BFloat16* x, std::span<const std::int32_t> targets, std::int64_t first) {
    x_ = x + first * columns_;
    targets_ = targets;
    reset();
    take_exponentials();
    if (!is_in_range()) {
      for (std::size_t t = 0; t < references_.size(); ++t) {
        references_[t] = std::max(references_[t], peaks_[t]);
      }
      take_exponentials();
    }
    const double loss = finish_sums();
    if (gradients_ != nullptr) {
      add_head_gradient();
      write_dx(gradients_->dx.mutable_data_ptr<BFloat16>() + first * columns_);
    }
    return loss;
  }

 private:
  std::int64_t count() const { return static_cast<std::int64_t>(targets_.size()); }
  const BFloat16* target_weights(std::int64_t token) const {
    return weights_ + targets_[token] * columns_;
  }

  void reset() {
    tokens_.reset(columns_, count());
    tokens_.pack_columns(x_, count(), columns_, columns_);
    const std::int64_t padded = tokens_.panels() * kPanel;
    references_.assign(padded, 0.0F);
    target_logits_.assign(padded, 0.0F);
    others_.assign(padded, 0.0);
    peaks_.resize(padded);
    // A token's own target is a reference near which its large logits are, and needs no pass.
    at::parallel_for(0, count(), 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        target_logits_[t] = references_[t] = dot(x_ + t * columns_, target_weights(t), columns_);
      }
    });
    if (gradients_ == nullptr) return;
    stride_ = packed_row_stride(padded);
    powers_ = gradients_->memory.at_least(vocabulary_ * stride_);
    dx_sums_.resize(padded * columns_);
  }

  void take_exponentials() {
    std::fill(others_.begin(), others_.end(), 0.0);
    std::fill(peaks_.begin(), peaks_.end(), -std::numeric_limits<float>::infinity());
    for (std::int64_t first = 0; first < vocabulary_; first += kVocabularyBlock) {
      const std::int64_t rows = std::min(kVocabularyBlock, vocabulary_ - first);
      if (gradients_ != nullptr) transpose_weights(first, rows);
      at::parallel_for(0, tokens_.panels(), 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t panel = begin; panel < end; ++panel) {
          block_of_panel(first, rows, panel);
        }
        end_of_blocks();
      });
    }
  }

  /// Entries [first, first + rows) of the head as [D, rows], zeros in what the product's depth has
  /// beyond.
  void transpose_weights(std::int64_t first, std::int64_t rows) {
    constexpr std::int64_t kStride = packed_row_stride(kVocabularyBlock);
    transposed_ = transposed_memory_.at_least(columns_ * kStride);
    const std::int64_t depth = round_up(rows, PackedMatrix::kDepthMultiple);
    at::parallel_for(0, columns_ / 32, 1, [&](std::int64_t begin, std::int64_t end) {
      transpose_bfloat16(weights_ + first * columns_ + 32 * begin, rows, 32 * (end - begin),
                         columns_, transposed_ + 32 * begin * kStride, kStride);
      if (depth == rows) return;
      for (std::int64_t i = 32 * begin; i < 32 * end; ++i) {
        std::memset(transposed_ + i * kStride + rows, 0, (depth - rows) * sizeof(BFloat16));
      }
    });
  }

  /// Logits, their exponentials and what dx gets from them, for 64 tokens.
  void block_of_panel(std::int64_t first, std::int64_t rows, std::int64_t panel) {
    alignas(64) float logits[kRowBlock * kPanel];
    alignas(64) std::uint32_t pairs[kVocabularyBlock / 2 * kPanel];
    for (std::int64_t done = 0; done < rows; done += kRowBlock) {
      const std::int64_t here = std::min(kRowBlock, rows - done);
      multiply_block(weights_ + (first + done) * columns_, columns_, here, tokens_.panel(panel),
                     columns_, logits, kPanel, /*add=*/false);
      for (std::int64_t i = 0; i < here; i += kLogitRows) {
        take_tile(first + done + i, std::min(kLogitRows, here - i), panel * kPanel,
                  logits + i * kPanel, pairs + (done + i) / 2 * kPanel);
      }
    }
    if (gradients_ != nullptr) add_to_dx(first, rows, panel, pairs);
  }

  void take_tile(std::int64_t row, std::int64_t rows, std::int64_t token, float* logits,
                 std::uint32_t* pairs) {
    alignas(64) float sums[kPanel];
    hide_targets(row, rows, token, logits);
    exponentials_of_logits(
        logits, {.rows = rows,
                 .references = references_.data() + token,
                 .sums = sums,
                 .peaks = peaks_.data() + token,
                 .powers = gradients_ == nullptr ? nullptr : powers_ + row * stride_ + token,
                 .stride = stride_,
                 .pairs = pairs});
    add_values(sums, others_.data() + token, kPanel);
  }

  /// A target's own power would be rounded: it is left out and comes in later, in fp32.
  void hide_targets(std::int64_t row, std::int64_t rows, std::int64_t token, float* tile) const {
    const std::int64_t end = std::min(token + kPanel, count());
    for (std::int64_t t = token; t < end; ++t) {
      const auto at = static_cast<std::uint64_t>(targets_[t] - row);
      if (at >= static_cast<std::uint64_t>(rows)) continue;
      tile[static_cast<std::int64_t>(at) * kPanel + t - token] =
          -std::numeric_limits<float>::infinity();
    }
  }

  /// dx^T of the panel [D, 64], not scaled yet, += weights^T [D, rows] * powers [rows, 64].
  void add_to_dx(std::int64_t first, std::int64_t rows, std::int64_t panel,
                 const std::uint32_t* pairs) {
    constexpr std::int64_t kStride = packed_row_stride(kVocabularyBlock);
    float* sums = dx_sums_.data() + panel * columns_ * kPanel;
    for (std::int64_t i = 0; i < columns_; i += kRowBlock) {
      multiply_block(transposed_ + i * kStride, kStride, std::min(kRowBlock, columns_ - i),
                     reinterpret_cast<const BFloat16*>(pairs),
                     round_up(rows, PackedMatrix::kDepthMultiple), sums + i * kPanel, kPanel,
                     /*add=*/first > 0);
    }
  }

  bool is_in_range() const {
    return std::all_of(others_.begin(), others_.begin() + count(),
                       [](double sum) { return sum < kLargestSum; });
  }

  /// Losses; what powers are multiplied with, and each target's part of the gradient.
  double finish_sums() {
    const double scale = gradients_ == nullptr ? 0 : gradients_->scale;
    factors_.resize(count());
    target_factors_.resize(count());
    double loss = 0;
    for (std::int64_t t = 0; t < count(); ++t) {
      const double target = static_cast<double>(target_logits_[t]) - references_[t];
      const double sum = others_[t] + std::exp(target);
      loss += std::log(sum) - target;
      factors_[t] = static_cast<float>(scale / sum);
      target_factors_[t] = static_cast<float>(-scale * others_[t] / sum);
    }
    return loss;
  }

  /// powers [V, T] * (factors x) [T, D] and the targets' parts.
  void add_head_gradient() {
    const GradientSum sum = std::exchange(gradients_->sum, GradientSum::kContinue);
    auto* gradient = gradients_->head.mutable_data_ptr<float>();
    for (std::int64_t begin = 0; begin < count(); begin += kGradientDepth) {
      const std::int64_t rows = std::min(kGradientDepth, count() - begin);
      BFloat16* scaled = scaled_memory_.at_least(rows * columns_);
      at::parallel_for(0, rows, 64, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t i = from; i < to; ++i) {
          scale_row(x_ + (begin + i) * columns_, factors_[begin + i], scaled + i * columns_,
                    columns_);
        }
      });
      scaled_rows_.reset(rows, columns_);
      scaled_rows_.pack_rows(scaled, rows, columns_, columns_);
      add_product(powers_ + begin, stride_, vocabulary_, scaled_rows_, gradient, columns_,
                  begin > 0 || sum == GradientSum::kContinue);
    }
    // Tokens may share a target: threads divide the columns.
    at::parallel_for(0, columns_ / 32, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = 0; t < count(); ++t) {
        add_scaled(x_ + t * columns_ + 32 * begin, target_factors_[t],
                   gradient + targets_[t] * columns_ + 32 * begin, 32 * (end - begin));
      }
    });
  }

  void write_dx(BFloat16* dx) {
    at::parallel_for(0, tokens_.panels(), 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> rows(kPanel * columns_);
      for (std::int64_t panel = begin; panel < end; ++panel) {
        const float* sums = dx_sums_.data() + panel * columns_ * kPanel;
        transpose_words(reinterpret_cast<const std::uint32_t*>(sums), columns_, kPanel, kPanel,
                        reinterpret_cast<std::uint32_t*>(rows.data()), columns_);
        const std::int64_t last = std::min(count(), (panel + 1) * kPanel);
        for (std::int64_t t = panel * kPanel; t < last; ++t) {
          weighted_sum(rows.data() + (t - panel * kPanel) * columns_, factors_[t],
                       target_weights(t), target_factors_[t], dx + t * columns_, columns_);
        }
      }
    });
  }

  std::int64_t vocabulary_, columns_;
  const BFloat16* weights_;
  HeadGradients* gradients_;
  const BFloat16* x_ = nullptr;  ///< of the chunk
  std::span<const std::int32_t> targets_;
  PackedMatrix tokens_, scaled_rows_;
  ReusedBuffer transposed_memory_, scaled_memory_;
  BFloat16* powers_ = nullptr;  ///< [V, tokens] of a stride
  std::int64_t stride_ = 0;
  BFloat16* transposed_ = nullptr;
  std::vector<float> dx_sums_;  ///< [panels, D, 64]
  std::vector<float> references_, peaks_, target_logits_, factors_, target_factors_;
  std::vector<double> others_;  ///< powers of all but the target, summed
};

std::int64_t tokens_per_chunk(std::int64_t vocabulary) {
  const std::int64_t tokens = kChunkBytes / (2 * vocabulary);
  return std::max<std::int64_t>(tokens / kPanel * kPanel, kPanel);
}

}  // namespace

bool can_pack_cross_entropy(const at::Tensor& x, const at::Tensor& head) {
  return x.is_cpu() && x.scalar_type() == at::kBFloat16 && x.is_contiguous() &&
         head.is_contiguous() && x.size(1) % PackedMatrix::kDepthMultiple == 0 &&
         packed_products_available();
}

double packed_cross_entropy(const at::Tensor& x, const at::Tensor& head,
                            std::span<const std::int32_t> targets, HeadGradients* gradients) {
  const std::int64_t rows = x.size(0);
  if (gradients != nullptr) {
    HETMOE_CHECK(gradients->head.is_contiguous() && gradients->head.sizes() == head.sizes(),
                 "gradient of ", gradients->head.size(0), " for a head of ", head.size(0));
    if (rows == 0 && gradients->sum == GradientSum::kBegin) gradients->head.zero_();
  }
  for (const std::int32_t target : targets) {
    HETMOE_CHECK(target >= 0 && target < head.size(0), "target ", target, " of ", head.size(0));
  }
  PackedHead packed(head, gradients);
  const std::int64_t step = tokens_per_chunk(head.size(0));
  double loss = 0;
  for (std::int64_t begin = 0; begin < rows; begin += step) {
    const std::int64_t here = std::min(step, rows - begin);
    loss += packed.run(data(x), targets.subspan(begin, here), begin);
  }
  return loss;
}

}  // namespace hetmoe
