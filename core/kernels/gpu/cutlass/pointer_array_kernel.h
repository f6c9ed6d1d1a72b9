// CUTLASS's pointer-array products for Hopper behind grouped_kernel.h. For the .cu files of this
// folder, which are compiled for sm_90a alone.
#pragma once

#include <cutlass/cutlass.h>
#include <cutlass/gemm/device/gemm_universal_adapter.h>
#include <cutlass/epilogue/collective/collective_builder.hpp>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/group_array_problem_shape.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>

#include <string>
#include <type_traits>

#include "core/gpu/device_error.h"
#include "core/kernels/gpu/cutlass/kernels.h"

namespace hetmoe::gpu {

inline void check_cutlass(const char* call, cutlass::Status status) {
  if (status != cutlass::Status::kSuccess) {
    throw DeviceError(std::string("CUTLASS ") + call + ": " + cutlassGetStatusString(status));
  }
}

/// c [rows, columns] of type Out from a as LayoutA [rows, depth] and b as LayoutB [depth, columns].
template <typename LayoutA, typename LayoutB, typename Out>
class PointerArrayKernel final : public GroupedKernel {
  using In = cutlass::bfloat16_t;
  using Tile = cute::Shape<cute::_128, cute::_256, cute::_64>;
  using Cluster = cute::Shape<cute::_2, cute::_1, cute::_1>;
  using Shape = cute::Shape<int, int, int>;
  using LayoutC = cutlass::layout::RowMajor;
  static constexpr int kInAlignment = 16 / sizeof(In);
  static constexpr int kOutAlignment = 16 / sizeof(Out);

  using Epilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Tile, Cluster,
      cutlass::epilogue::collective::EpilogueTileAuto, float, float, Out, LayoutC*, kOutAlignment,
      Out, LayoutC*, kOutAlignment, cutlass::epilogue::PtrArrayTmaWarpSpecializedCooperative,
      cutlass::epilogue::fusion::LinearCombination<Out, float>>::CollectiveOp;
  using Mainloop = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, In, LayoutA*, kInAlignment, In, LayoutB*,
      kInAlignment, float, Tile, Cluster,
      cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(
          sizeof(typename Epilogue::SharedStorage))>,
      cutlass::gemm::KernelPtrArrayTmaWarpSpecializedCooperative>::CollectiveOp;
  using Kernel = cutlass::gemm::kernel::GemmUniversal<cutlass::gemm::GroupProblemShape<Shape>,
                                                      Mainloop, Epilogue>;
  using Gemm = cutlass::gemm::device::GemmUniversalAdapter<Kernel>;
  using StrideA = typename Kernel::InternalStrideA;
  using StrideB = typename Kernel::InternalStrideB;
  using StrideC = typename Kernel::InternalStrideC;

  // The arguments are prepared without CUTLASS: of a stride only the distance of rows is stored,
  // and a shape is its three numbers.
  static_assert(sizeof(StrideA) == sizeof(std::int64_t));
  static_assert(sizeof(StrideB) == sizeof(std::int64_t));
  static_assert(sizeof(StrideC) == sizeof(std::int64_t));
  static_assert(sizeof(Shape) == sizeof(ProductShape));
  static constexpr Shape kShape =
      __builtin_bit_cast(Shape, (ProductShape{.rows = 1, .columns = 2, .depth = 3}));
  static_assert(cute::get<0>(kShape) == 1 && cute::get<1>(kShape) == 2 &&
                cute::get<2>(kShape) == 3);

 public:
  PointerArrayKernel(Form form, int multiprocessors)
      : form_(form), multiprocessors_(multiprocessors) {}

  bool takes(const ProductKind& kind) const override {
    constexpr bool kIsFloat = std::is_same_v<Out, float>;
    return kind.form == form_ && kind.in == Number::kBFloat16 &&
           kind.out == (kIsFloat ? Number::kFloat32 : Number::kBFloat16) &&
           (kIsFloat || !kind.adds);
  }

  std::size_t workspace_bytes() const override {
    return Gemm::get_workspace_size(arguments({}, nullptr, false));
  }

  void launch(const PointerArguments& there, const ProductShape* here, bool adds, void* workspace,
              Stream stream) override {
    const typename Gemm::Arguments all = arguments(there, here, adds);
    check_cutlass("can_implement", Gemm::can_implement(all));
    Gemm gemm;
    check_cutlass("initialize", gemm.initialize(all, workspace, stream));
    check_cutlass("run", gemm.run(stream));
  }

 private:
  typename Gemm::Arguments arguments(const PointerArguments& there, const ProductShape* here,
                                     bool adds) const {
    auto* shapes = reinterpret_cast<Shape*>(const_cast<ProductShape*>(there.shapes));
    auto** c = reinterpret_cast<Out**>(const_cast<void**>(there.c));
    auto* c_stride = stride<StrideC>(there.c_stride);
    typename Gemm::Arguments all{cutlass::gemm::GemmUniversalMode::kGrouped,
                                 {there.count, shapes, reinterpret_cast<const Shape*>(here)},
                                 {pointers<In>(there.a), stride<StrideA>(there.a_stride),
                                  pointers<In>(there.b), stride<StrideB>(there.b_stride)},
                                 {{}, const_cast<const Out**>(c), c_stride, c, c_stride},
                                 {}};
    all.epilogue.thread.alpha = 1;
    all.epilogue.thread.beta = adds ? 1 : 0;
    all.hw_info.sm_count = multiprocessors_;
    return all;
  }

  template <typename T>
  static const T** pointers(const void* const* array) {
    return reinterpret_cast<const T**>(const_cast<const void**>(array));
  }

  template <typename Stride>
  static Stride* stride(const std::int64_t* array) {
    return reinterpret_cast<Stride*>(const_cast<std::int64_t*>(array));
  }

  Form form_;
  int multiprocessors_;
};

}  // namespace hetmoe::gpu
