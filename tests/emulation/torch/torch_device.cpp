// The emulated device as LibTorch sees it (PrivateUse1). Its tensors lie in the device's memory;
// every operation that is not ours waits for the default stream, as work that follows in it would,
// and is done by LibTorch's kernels for CPUs on copies.
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstring>
#include <new>

#include "tests/emulation/device_memory.h"
#include "tests/emulation/streams.h"
#include "tests/emulation/torch/product_liberties.h"

namespace hetmoe::emulation {
namespace {

constexpr auto kType = c10::DeviceType::PrivateUse1;

class TensorAllocator final : public at::Allocator {
 public:
  at::DataPtr allocate(std::size_t size) override {
    void* pointer = size > 0 ? allocate_on_device(size) : nullptr;
    TORCH_CHECK_WITH(OutOfMemoryError, size == 0 || pointer != nullptr,
                     "emulated device, out of memory");
    return {pointer, pointer, &release, c10::Device(kType, 0)};
  }
  at::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t size) const override {
    const DeviceWork device;
    std::memcpy(to, from, size);
  }

 private:
  // As the caching allocator of a real device: what was enqueued before still finds its memory.
  static void release(void* pointer) {
    if (pointer == nullptr) return;
    run_all(default_stream());
    free_on_device(pointer);
  }
};

TensorAllocator& allocator() {
  static auto* const instance = new TensorAllocator;
  return *instance;
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device) const override { return {kType, 0}; }
  c10::Device getDevice() const override { return {kType, 0}; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::Allocator* getPinnedMemoryAllocator() const override { return c10::GetAllocator(at::kCPU); }
};

at::Tensor empty(c10::IntArrayRef sizes, std::optional<at::ScalarType> type,
                 std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &allocator(),
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(type), format);
}

at::Tensor empty_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides,
                         std::optional<at::ScalarType> type, std::optional<at::Layout>,
                         std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(sizes, strides, &allocator(),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(type));
}

/// A tensor of the host over the same memory, for the time of a DeviceWork.
at::Tensor as_host(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  return at::from_blob(
      const_cast<void*>(tensor.storage().data()), tensor.sizes(), tensor.strides(),
      tensor.storage_offset(), [](void*) {}, tensor.options().device(at::kCPU), at::kCPU);
}

/// To the host without waiting only when somebody waits for the stream later.
at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  if (from.is_cpu() != to.is_cpu()) ++observed().copies;
  if (to.is_cpu() && non_blocking) {
    // Does not own what it reads: memory is released after all that was enqueued before.
    enqueue(default_stream(), "copy", [source = as_host(from), to] {
      as_host(to).copy_(source);
      return true;
    });
    return to;
  }
  run_all(default_stream());
  if (to.is_cpu()) ++observed().host_waits;
  const DeviceWork device;
  as_host(to).copy_(as_host(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar local_scalar_dense(const at::Tensor& tensor) {
  at::Tensor host = at::empty(tensor.sizes(), tensor.options().device(at::kCPU));
  copy_from(tensor, host, false);
  return host.item();
}

const at::Tensor& resize(const at::Tensor& tensor, c10::SymIntArrayRef sizes,
                         std::optional<at::MemoryFormat>) {
  auto* self = tensor.unsafeGetTensorImpl();
  std::int64_t count = 1;
  for (const auto& size : sizes) count *= size.expect_int();
  const std::size_t bytes =
      (static_cast<std::size_t>(tensor.storage_offset()) + static_cast<std::size_t>(count)) *
      tensor.element_size();
  if (bytes > tensor.storage().nbytes()) {
    TORCH_CHECK(tensor.numel() == 0, "the emulated device resizes empty tensors only");
    auto storage = tensor.storage();
    storage.set_data_ptr_noswap(allocator().allocate(bytes));
    storage.set_nbytes(bytes);
  }
  std::vector<std::int64_t> plain;
  for (const auto& size : sizes) plain.push_back(size.expect_int());
  self->set_sizes_contiguous(plain);
  return tensor;
}

/// CUDA's alone: an addend of another type than the factors.
at::Tensor& addmm_of_type(const at::Tensor& addend, const at::Tensor& a, const at::Tensor& b,
                          at::ScalarType type, const at::Scalar& beta, const at::Scalar& alpha,
                          at::Tensor& out) {
  TORCH_CHECK(addend.scalar_type() == type && out.scalar_type() == type, "addmm: types differ");
  run_all(default_stream());
  const DeviceWork device;
  as_host(out).copy_(
      at::addmm(as_host(addend), as_host(a).to(type), as_host(b).to(type), beta, alpha));
  return out;
}

void fall_back(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  run_all(default_stream());
  const Observed before = observed();
  const bool takes_liberties = is_product(operation);
  if (takes_liberties) round_factors(operation, *stack);
  at::native::cpu_fallback(operation, stack);
  if (takes_liberties) vary_sums(*stack);
  observed().host_waits = before.host_waits;  // copies of the emulation, not of the program
  observed().copies = before.copies;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("_local_scalar_dense", &local_scalar_dense);
  library.impl("addmm.dtype_out", &addmm_of_type);
  library.impl("resize_", &resize);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", &at::native::view);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&fall_back>());
}

const bool kRegistered = [] {
  c10::register_privateuse1_backend("emulated");
  c10::SetAllocator(kType, &allocator());
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();
const c10::impl::DeviceGuardImplRegistrar kGuard(kType, new Guard);

}  // namespace
}  // namespace hetmoe::emulation
