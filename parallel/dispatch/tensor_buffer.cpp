#include "parallel/dispatch/tensor_buffer.h"

#include "core/base/check.h"

namespace hetmoe {
namespace {

DataType data_type(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return DataType::kFloat32;
    case at::kDouble:
      return DataType::kFloat64;
    case at::kLong:
      return DataType::kInt64;
    case at::kBFloat16:
      return DataType::kBFloat16;
    case at::kByte:
      return DataType::kByte;
    default:
      break;
  }
  HETMOE_CHECK(false, "no DataType for tensor type ", c10::toString(tensor.scalar_type()));
}

}  // namespace

ConstBuffer const_tensor_buffer(const at::Tensor& tensor) {
  HETMOE_CHECK(tensor.is_contiguous(), "tensor is not contiguous");
  return {tensor.const_data_ptr(), tensor.numel(), data_type(tensor)};
}

Buffer tensor_buffer(const at::Tensor& tensor) {
  const ConstBuffer checked = const_tensor_buffer(tensor);
  return {tensor.mutable_data_ptr(), checked.count, checked.type};
}

}  // namespace hetmoe
