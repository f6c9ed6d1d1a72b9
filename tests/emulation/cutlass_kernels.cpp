// CUTLASS's kernels for a device that is not there: plain loops over the arguments as they lie in
// the device's memory, sums in fp64.
#include <cstdio>
#include <cstdlib>

#include "core/gpu/bfloat16_bits.h"
#include "core/gpu/device_error.h"
#include "core/kernels/gpu/cutlass/grouped_kernel.h"
#include "tests/emulation/device_memory.h"
#include "tests/emulation/streams.h"

namespace hetmoe::gpu {
namespace {

// A multiprocessor keeps its descriptors of matrices there.
constexpr std::size_t kWorkspaceBytesEach = 640;

double bf16_at(const void* matrix, std::int64_t element) {
  return widened(static_cast<const BFloat16Bits*>(matrix)[element]);
}

/// The TMA unit takes nothing else; a device would stop.
void require_pieces_of_16_bytes(const void* matrix, std::int64_t stride, std::size_t element) {
  if (reinterpret_cast<std::uintptr_t>(matrix) % 16 == 0 &&
      static_cast<std::size_t>(stride) * element % 16 == 0) {
    return;
  }
  std::fprintf(stderr, "emulated CUTLASS: rows of a matrix are not aligned to 16 bytes\n");
  std::abort();
}

std::vector<ProductShape> copied(const ProductShape* shapes, std::int32_t count) {
  return {shapes, shapes + count};
}

void require_same(const ProductShape& there, const ProductShape& here) {
  if (there.rows == here.rows && there.columns == here.columns && there.depth == here.depth) return;
  std::fprintf(stderr, "emulated CUTLASS: host and device have different shapes\n");
  std::abort();
}

/// One product of the arrays.
class Loops {
 public:
  Loops(Form form, Number out, bool adds, const PointerArguments& all, std::int32_t product)
      : form_(form), out_(out), adds_(adds), all_(all), i_(product) {
    require_pieces_of_16_bytes(all.a[i_], all.a_stride[i_], 2);
    require_pieces_of_16_bytes(all.b[i_], all.b_stride[i_], 2);
    require_pieces_of_16_bytes(all.c[i_], all.c_stride[i_], out == Number::kFloat32 ? 4 : 2);
  }

  void run() const {
    const ProductShape shape = all_.shapes[i_];
    for (std::int64_t row = 0; row < shape.rows; ++row) {
      for (std::int64_t column = 0; column < shape.columns; ++column) {
        double sum = 0;
        for (std::int64_t l = 0; l < shape.depth; ++l) sum += a(row, l) * b(l, column);
        store(row * all_.c_stride[i_] + column, sum);
      }
    }
  }

 private:
  double a(std::int64_t row, std::int64_t l) const {
    const std::int64_t stride = all_.a_stride[i_];
    return bf16_at(all_.a[i_], form_ == Form::kAtB ? l * stride + row : row * stride + l);
  }
  double b(std::int64_t l, std::int64_t column) const {
    const std::int64_t stride = all_.b_stride[i_];
    return bf16_at(all_.b[i_], form_ == Form::kABt ? column * stride + l : l * stride + column);
  }
  void store(std::int64_t element, double sum) const {
    if (out_ == Number::kFloat32) {
      float& target = static_cast<float*>(all_.c[i_])[element];
      target = static_cast<float>(adds_ ? sum + target : sum);
    } else {
      static_cast<BFloat16Bits*>(all_.c[i_])[element] = narrowed(static_cast<float>(sum));
    }
  }

  Form form_;
  Number out_;
  bool adds_;
  const PointerArguments& all_;
  std::int32_t i_;
};

class EmulatedKernel final : public GroupedKernel {
 public:
  EmulatedKernel(Form form, Number out, int multiprocessors)
      : form_(form), out_(out), multiprocessors_(multiprocessors) {}

  bool takes(const ProductKind& kind) const override {
    return kind.form == form_ && kind.in == Number::kBFloat16 && kind.out == out_ &&
           (out_ == Number::kFloat32 || !kind.adds);
  }

  std::size_t workspace_bytes() const override {
    return kWorkspaceBytesEach * static_cast<std::size_t>(multiprocessors_);
  }

  void launch(const PointerArguments& there, const ProductShape* here, bool adds, void* workspace,
              Stream stream) override {
    if (emulation::take_failure("CUTLASS run") != 0) throw DeviceError("CUTLASS run: failed");
    if (here == nullptr || !emulation::is_on_device(workspace, workspace_bytes())) {
      throw DeviceError("CUTLASS initialize: invalid arguments");
    }
    ++emulation::observed().launches;
    emulation::observed().product_multiprocessors = multiprocessors_;
    emulation::enqueue(stream != nullptr ? stream : emulation::default_stream(), "CUTLASS",
                       [form = form_, out = out_, adds, there, shapes = copied(here, there.count)] {
                         for (std::int32_t i = 0; i < there.count; ++i) {
                           require_same(there.shapes[i], shapes[static_cast<std::size_t>(i)]);
                           Loops(form, out, adds, there, i).run();
                         }
                         return true;
                       });
  }

 private:
  Form form_;
  Number out_;
  int multiprocessors_;
};

}  // namespace

std::vector<std::unique_ptr<GroupedKernel>> make_grouped_kernels(int multiprocessors) {
  std::vector<std::unique_ptr<GroupedKernel>> kernels;
  const auto add = [&](Form form, Number out) {
    kernels.push_back(std::make_unique<EmulatedKernel>(form, out, multiprocessors));
  };
  add(Form::kABt, Number::kBFloat16);
  add(Form::kAB, Number::kBFloat16);
  add(Form::kAtB, Number::kFloat32);
  return kernels;
}

}  // namespace hetmoe::gpu
