#pragma once

namespace hetmoe {

/// Bytes of memory that one update touches for each owned parameter, read and written: master and
/// both moments read and written, the gradient read, all in fp32; where products are in bf16 the
/// compute copy is written too. Cluster::optimizer_bytes_per_second is this over an update's time,
/// whether it is measured or reckoned with. Zeroing and squaring of gradients are not part of it.
inline constexpr double update_bytes_per_parameter(bool is_bf16) {
  return 3 * (4 + 4) + 4 + (is_bf16 ? 2 : 0);
}

}  // namespace hetmoe
