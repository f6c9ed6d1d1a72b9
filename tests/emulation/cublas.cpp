// cuBLAS for one device that is not there (include/cublas_v2.h): plain loops, sums in fp64.
#include "tests/emulation/include/cublas_v2.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/gpu/bfloat16_bits.h"
#include "tests/emulation/device_memory.h"
#include "tests/emulation/streams.h"

using namespace hetmoe;
using namespace hetmoe::emulation;

struct cublasContext {
  cudaStream_t stream = nullptr;
  const void* workspace = nullptr;
  int multiprocessors = 0;  ///< 0: all
};

namespace {

struct Matrix {
  const void* pointer;
  cudaDataType_t type;
  std::int64_t stride;
  bool transposed;

  std::int64_t place(std::int64_t row, std::int64_t column) const {
    return transposed ? row * stride + column : column * stride + row;
  }
  double at(std::int64_t row, std::int64_t column) const {
    const std::int64_t i = place(row, column);
    if (type == CUDA_R_32F) return static_cast<const float*>(pointer)[i];
    return gpu::widened(static_cast<const gpu::BFloat16Bits*>(pointer)[i]);
  }
  void set(std::int64_t row, std::int64_t column, double value) const {
    const std::int64_t i = place(row, column);
    void* target = const_cast<void*>(pointer);
    if (type == CUDA_R_32F) {
      static_cast<float*>(target)[i] = static_cast<float>(value);
    } else {
      static_cast<gpu::BFloat16Bits*>(target)[i] = gpu::narrowed(static_cast<float>(value));
    }
  }
};

struct Task {
  std::int64_t m, n, k;
  float alpha, beta;
  Matrix a, b, c;

  bool is_valid() const {
    const auto fits = [](const Matrix& matrix, std::int64_t rows, std::int64_t columns) {
      return matrix.stride >= (matrix.transposed ? columns : rows) && matrix.stride > 0;
    };
    return m >= 0 && n >= 0 && k >= 0 && fits(a, m, k) && fits(b, k, n) && fits(c, m, n);
  }

  void run() const {
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (std::int64_t l = 0; l < k; ++l) sum += a.at(i, l) * b.at(l, j);
        c.set(i, j, alpha * sum + (beta == 0 ? 0 : beta * c.at(i, j)));
      }
    }
  }
};

/// As cuBLAS documents it for grouped products in bf16; a device would stop with a misaligned
/// access.
void require_alignment(const Task& task) {
  if (task.a.type == CUDA_R_32F) return;
  const std::uintptr_t needed = task.k * 2 % 16 == 0 ? 16 : task.k * 2 % 4 == 0 ? 4 : 2;
  for (const void* pointer : {task.a.pointer, task.b.pointer, task.c.pointer}) {
    if (reinterpret_cast<std::uintptr_t>(pointer) % needed == 0) continue;
    std::fprintf(stderr, "emulated cuBLAS: a matrix is not aligned to %zu bytes\n",
                 static_cast<std::size_t>(needed));
    std::abort();
  }
}

cublasStatus_t refusal(const char* function, cublasHandle_t handle, cudaDataType_t in,
                       cudaDataType_t out) {
  if (const int code = take_failure(function); code != 0) return static_cast<cublasStatus_t>(code);
  if (handle->workspace == nullptr) return CUBLAS_STATUS_INVALID_VALUE;  // ours always has one
  observed().product_multiprocessors =
      handle->multiprocessors > 0 ? handle->multiprocessors : kMultiprocessors;
  return in == CUDA_R_32F && out != CUDA_R_32F ? CUBLAS_STATUS_NOT_SUPPORTED
                                               : CUBLAS_STATUS_SUCCESS;
}

}  // namespace

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "unknown";
}

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  if (const int code = take_failure("cublasCreate"); code != 0) {
    return static_cast<cublasStatus_t>(code);
  }
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  handle->workspace = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasSetSmCountTarget(cublasHandle_t handle, int count) {
  if (count < 0 || count > kMultiprocessors) return CUBLAS_STATUS_INVALID_VALUE;
  handle->multiprocessors = count;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, std::size_t size) {
  if (!is_on_device(workspace, size)) return CUBLAS_STATUS_INVALID_VALUE;
  handle->workspace = workspace;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t transa,
                               cublasOperation_t transb, std::int64_t m, std::int64_t n,
                               std::int64_t k, const void* alpha, const void* A,
                               cudaDataType_t Atype, std::int64_t lda, const void* B,
                               cudaDataType_t Btype, std::int64_t ldb, const void* beta, void* C,
                               cudaDataType_t Ctype, std::int64_t ldc, cublasComputeType_t,
                               cublasGemmAlgo_t) {
  if (const auto status = refusal("cublasGemmEx", handle, Atype, Ctype);
      status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  const Task task{m,
                  n,
                  k,
                  *static_cast<const float*>(alpha),
                  *static_cast<const float*>(beta),
                  {A, Atype, lda, transa == CUBLAS_OP_T},
                  {B, Btype, ldb, transb == CUBLAS_OP_T},
                  {C, Ctype, ldc, false}};
  if (!task.is_valid()) return CUBLAS_STATUS_INVALID_VALUE;
  enqueue(handle->stream != nullptr ? handle->stream : default_stream(), "cublasGemmEx", [task] {
    task.run();
    return true;
  });
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmGroupedBatchedEx_64(
    cublasHandle_t handle, const cublasOperation_t transa_array[],
    const cublasOperation_t transb_array[], const std::int64_t m_array[],
    const std::int64_t n_array[], const std::int64_t k_array[], const void* alpha_array,
    const void* const Aarray[], cudaDataType_t Atype, const std::int64_t lda_array[],
    const void* const Barray[], cudaDataType_t Btype, const std::int64_t ldb_array[],
    const void* beta_array, void* const Carray[], cudaDataType_t Ctype,
    const std::int64_t ldc_array[], std::int64_t group_count, const std::int64_t group_size[],
    cublasComputeType_t) {
  if (const auto status = refusal("cublasGemmGroupedBatchedEx", handle, Atype, Ctype);
      status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  if (Atype != Ctype) return CUBLAS_STATUS_NOT_SUPPORTED;
  std::vector<Task> tasks;
  for (std::int64_t i = 0; i < group_count; ++i) {
    tasks.push_back({m_array[i],
                     n_array[i],
                     k_array[i],
                     static_cast<const float*>(alpha_array)[i],
                     static_cast<const float*>(beta_array)[i],
                     {nullptr, Atype, lda_array[i], transa_array[i] == CUBLAS_OP_T},
                     {nullptr, Btype, ldb_array[i], transb_array[i] == CUBLAS_OP_T},
                     {nullptr, Ctype, ldc_array[i], false}});
    if (group_size[i] != 1 || !tasks.back().is_valid()) return CUBLAS_STATUS_INVALID_VALUE;
  }
  enqueue(handle->stream != nullptr ? handle->stream : default_stream(),
          "cublasGemmGroupedBatchedEx", [tasks, Aarray, Barray, Carray]() mutable {
            for (std::size_t i = 0; i < tasks.size(); ++i) {
              tasks[i].a.pointer = Aarray[i];
              tasks[i].b.pointer = Barray[i];
              tasks[i].c.pointer = Carray[i];
              require_alignment(tasks[i]);
              tasks[i].run();
            }
            return true;
          });
  return CUBLAS_STATUS_SUCCESS;
}
