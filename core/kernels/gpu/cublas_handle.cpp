#include "core/kernels/gpu/cublas_handle.h"

#include <string>
#include <utility>

#include "core/gpu/device_error.h"
#include "core/kernels/gpu/device_share.h"

namespace hetmoe::gpu {
namespace {

// What cuBLAS recommends for Hopper; older devices need less.
constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

}  // namespace

void check_cublas(const char* call, cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw DeviceError(std::string(call) + ": " + cublasGetStatusString(status));
  }
}

cudaDataType_t cublas_type(Number number) {
  return number == Number::kFloat32 ? CUDA_R_32F : CUDA_R_16BF;
}

CublasHandle::CublasHandle(int reserve) : workspace_(kWorkspaceBytes) {
  check_cublas("cublasCreate", cublasCreate(&handle_));
  // Else parts of a long sum may be rounded to bf16 before they are added.
  check_cublas("cublasSetMathMode",
               cublasSetMathMode(handle_, static_cast<cublasMath_t>(
                                              CUBLAS_DEFAULT_MATH |
                                              CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)));
  if (reserve == 0) return;
  check_cublas("cublasSetSmCountTarget",
               cublasSetSmCountTarget(handle_, multiprocessors_left(reserve)));
}

CublasHandle::CublasHandle(CublasHandle&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), workspace_(std::move(other.workspace_)) {}

CublasHandle::~CublasHandle() {
  if (handle_ != nullptr) cublasDestroy(handle_);
}

void CublasHandle::use(Stream stream) {
  check_cublas("cublasSetStream", cublasSetStream(handle_, stream));
  // Setting a stream takes the memory away again.
  check_cublas("cublasSetWorkspace",
               cublasSetWorkspace(handle_, workspace_.get(), workspace_.size_bytes()));
}

ColumnMajorProduct column_major(Form form, const Product& product) {
  return {.first_operation = form == Form::kABt ? CUBLAS_OP_T : CUBLAS_OP_N,
          .second_operation = form == Form::kAtB ? CUBLAS_OP_T : CUBLAS_OP_N,
          .rows = product.columns,
          .columns = product.rows,
          .first = product.b,
          .second = product.a,
          .first_stride = product.b_stride,
          .second_stride = product.a_stride};
}

}  // namespace hetmoe::gpu
