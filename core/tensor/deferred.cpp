#include "core/tensor/deferred.h"

#include <ATen/ops/cat.h>

#include "core/tensor/device.h"

namespace hetmoe {

std::vector<double> fetched(const std::vector<at::Tensor>& there) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& tensor : there) flat.push_back(tensor.reshape({-1}).to(at::kDouble));
  const at::Tensor all = at::cat(flat);
  at::Tensor here = empty_pinned({all.numel()}, at::kDouble);
  here.copy_(all, /*non_blocking=*/true);
  wait_for_gpu();
  const auto* values = here.const_data_ptr<double>();
  return {values, values + here.numel()};
}

}  // namespace hetmoe
