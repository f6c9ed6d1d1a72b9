#pragma once

#include <cublas_v2.h>

#include "core/gpu/memory.h"
#include "core/kernels/gpu/grouped_products.h"

namespace hetmoe::gpu {

/// Errors: DeviceError "CALL: TEXT".
void check_cublas(const char* call, cublasStatus_t status);

cudaDataType_t cublas_type(Number number);

/// A handle with memory of its own to work in: handles that share it must not work beside each
/// other, and what cuBLAS would take by itself makes results depend on what ran before. Move-only.
class CublasHandle {
 public:
  /// `reserve`: of grouped_products.h.
  explicit CublasHandle(int reserve);
  CublasHandle(CublasHandle&& other) noexcept;
  CublasHandle& operator=(CublasHandle&&) = delete;
  ~CublasHandle();

  /// What the next calls are enqueued on.
  void use(Stream stream);
  cublasHandle_t get() const { return handle_; }

 private:
  cublasHandle_t handle_ = nullptr;
  DeviceMemory workspace_;
};

/// A product as cuBLAS sees it: column-major, so that our c is its transposed one and a, b change
/// places.
struct ColumnMajorProduct {
  cublasOperation_t first_operation, second_operation;
  std::int64_t rows, columns;
  const void* first;
  const void* second;
  std::int64_t first_stride, second_stride;
};
ColumnMajorProduct column_major(Form form, const Product& product);

}  // namespace hetmoe::gpu
