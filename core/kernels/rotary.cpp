#include "core/kernels/rotary.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/cached_attention.h"
#include "core/kernels/head_rows.h"
#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {

/// cos and sin of position * theta^(-2i / head_dim), [positions, head_dim / 2] each.
template <typename A>
struct Rotations {
  std::vector<A> cosine;
  std::vector<A> sine;

  Rotations(const AttentionShape& shape, std::int64_t positions) {
    const std::int64_t half = shape.head_dim / 2;
    cosine.resize(positions * half);
    sine.resize(positions * half);
    for (std::int64_t i = 0; i < half; ++i) {
      const double frequency = std::pow(
          shape.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(shape.head_dim));
      for (std::int64_t position = 0; position < positions; ++position) {
        const double angle = static_cast<double>(position) * frequency;
        cosine[position * half + i] = static_cast<A>(std::cos(angle));
        sine[position * half + i] = static_cast<A>(std::sin(angle));
      }
    }
  }
};

namespace {

/// Those of the last heads are kept: every layer of every step asks for the same. A sequence that
/// grows by a token at a time asks for more each time, and gets twice as many.
template <typename A>
std::shared_ptr<const Rotations<A>> rotations_of(const AttentionShape& shape,
                                                 std::int64_t positions) {
  struct Kept {
    std::int64_t positions = 0, head_dim = 0;
    double theta = 0;
    std::shared_ptr<const Rotations<A>> rotations;
  };
  static std::mutex mutex;
  static Kept kept;
  const std::lock_guard lock(mutex);
  const bool same_heads = kept.head_dim == shape.head_dim && kept.theta == shape.rope_theta;
  if (!same_heads || kept.positions < positions) {
    if (same_heads) positions = std::max(positions, 2 * kept.positions);
    kept = {positions, shape.head_dim, shape.rope_theta,
            std::make_shared<const Rotations<A>>(shape, positions)};
  }
  return kept.rotations;
}

/// out = rotation of in; direction +1 rotates forward, -1 back.
template <typename T>
HETMOE_INLINE void rotate_head(const T* __restrict in, T* __restrict out,
                               const Arithmetic<T>* __restrict cosine,
                               const Arithmetic<T>* __restrict sine, Arithmetic<T> direction,
                               std::int64_t half) {
  for (std::int64_t i = 0; i < half; ++i) {
    const Arithmetic<T> a = widen(in[i]);
    const Arithmetic<T> b = widen(in[i + half]);
    out[i] = NarrowTo<T>::from(a * cosine[i] - direction * b * sine[i]);
    out[i + half] = NarrowTo<T>::from(b * cosine[i] + direction * a * sine[i]);
  }
}

HETMOE_VECTORIZED void rotate(const float* in, float* out, const float* c, const float* s,
                              float direction, std::int64_t half) {
  rotate_head(in, out, c, s, direction, half);
}
HETMOE_VECTORIZED void rotate(const double* in, double* out, const double* c, const double* s,
                              double direction, std::int64_t half) {
  rotate_head(in, out, c, s, direction, half);
}
HETMOE_VECTORIZED void rotate(const at::BFloat16* in, at::BFloat16* out, const float* c,
                              const float* s, float direction, std::int64_t half) {
  rotate_head(in, out, c, s, direction, half);
}

/// Calls body(row of qkv, pointer into the head-major tensor, head kind) for every head of a row.
struct HeadAddress {
  std::int64_t in_row;    ///< offset within a row of qkv
  std::int64_t in_heads;  ///< offset within the head-major tensor
};

HeadAddress address(const AttentionShape& shape, std::int64_t sequence, std::int64_t position,
                    std::int64_t head, std::int64_t heads, std::int64_t first_head) {
  return {(first_head + head) * shape.head_dim,
          ((sequence * heads + head) * shape.length + position) * shape.head_dim};
}

}  // namespace

RotatedHeads split_and_rotate(const at::Tensor& qkv, const AttentionShape& shape) {
  return split_and_rotate(qkv, shape, 0);
}

RotatedHeads split_and_rotate(const at::Tensor& qkv, const AttentionShape& shape,
                              std::int64_t first_position) {
  HETMOE_CHECK(qkv.is_contiguous() && qkv.size(1) == shape.row_width(), "row width ", qkv.size(1),
               ", expected ", shape.row_width());
  const std::int64_t kv_heads = shape.sequences * shape.num_kv_heads;
  RotatedHeads heads{
      at::empty({shape.sequences * shape.num_heads, shape.length, shape.head_dim}, qkv.options()),
      at::empty({kv_heads, shape.length, shape.head_dim}, qkv.options()),
      at::empty({kv_heads, shape.length, shape.head_dim}, qkv.options())};
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, qkv.scalar_type(), "split_and_rotate", [&] {
    using A = Arithmetic<scalar_t>;
    const auto rotations = rotations_of<A>(shape, first_position + shape.length);
    const std::int64_t half = shape.head_dim / 2;
    const auto* in = qkv.const_data_ptr<scalar_t>();
    auto* query = heads.query.mutable_data_ptr<scalar_t>();
    auto* key = heads.key.mutable_data_ptr<scalar_t>();
    auto* value = heads.value.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, qkv.size(0), 32, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t sequence = row / shape.length;
        const std::int64_t position = row % shape.length;
        const scalar_t* source = in + row * shape.row_width();
        const std::int64_t angles = (first_position + position) * half;
        const A* c = rotations->cosine.data() + angles;
        const A* s = rotations->sine.data() + angles;
        for (std::int64_t head = 0; head < shape.num_heads; ++head) {
          const auto at = address(shape, sequence, position, head, shape.num_heads, 0);
          rotate(source + at.in_row, query + at.in_heads, c, s, A(1), half);
        }
        for (std::int64_t head = 0; head < shape.num_kv_heads; ++head) {
          const auto k =
              address(shape, sequence, position, head, shape.num_kv_heads, shape.num_heads);
          rotate(source + k.in_row, key + k.in_heads, c, s, A(1), half);
          const auto v = address(shape, sequence, position, head, shape.num_kv_heads,
                                 shape.num_heads + shape.num_kv_heads);
          std::copy_n(source + v.in_row, shape.head_dim, value + v.in_heads);
        }
      }
    });
  });
  return heads;
}

at::Tensor rotate_back_and_join(const RotatedHeads& heads, const AttentionShape& shape) {
  at::Tensor rows =
      at::empty({shape.sequences * shape.length, shape.row_width()}, heads.query.options());
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, rows.scalar_type(), "rotate_back_and_join", [&] {
    using A = Arithmetic<scalar_t>;
    const auto rotations = rotations_of<A>(shape, shape.length);
    const std::int64_t half = shape.head_dim / 2;
    auto* out = rows.mutable_data_ptr<scalar_t>();
    const auto* query = heads.query.const_data_ptr<scalar_t>();
    const auto* key = heads.key.const_data_ptr<scalar_t>();
    const auto* value = heads.value.const_data_ptr<scalar_t>();
    at::parallel_for(0, rows.size(0), 32, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t sequence = row / shape.length;
        const std::int64_t position = row % shape.length;
        scalar_t* target = out + row * shape.row_width();
        const A* c = rotations->cosine.data() + position * half;
        const A* s = rotations->sine.data() + position * half;
        for (std::int64_t head = 0; head < shape.num_heads; ++head) {
          const auto at = address(shape, sequence, position, head, shape.num_heads, 0);
          rotate(query + at.in_heads, target + at.in_row, c, s, A(-1), half);
        }
        for (std::int64_t head = 0; head < shape.num_kv_heads; ++head) {
          const auto k =
              address(shape, sequence, position, head, shape.num_kv_heads, shape.num_heads);
          rotate(key + k.in_heads, target + k.in_row, c, s, A(-1), half);
          const auto v = address(shape, sequence, position, head, shape.num_kv_heads,
                                 shape.num_heads + shape.num_kv_heads);
          std::copy_n(value + v.in_heads, shape.head_dim, target + v.in_row);
        }
      }
    });
  });
  return rows;
}

HeadRotation::HeadRotation(const AttentionShape& shape)
    : width_(shape.head_dim), rotations_(rotations_of<float>(shape, shape.length)) {}

HeadAngles HeadRotation::from(std::int64_t position) const {
  const std::int64_t at = position * (width_ / 2);
  return {rotations_->cosine.data() + at, rotations_->sine.data() + at};
}

}  // namespace hetmoe
