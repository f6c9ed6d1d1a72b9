#include "tests/emulation/torch/product_liberties.h"

#include <ATen/Context.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

namespace hetmoe::emulation {
namespace {

// TF32 keeps 10 of fp32's 23 bits after the point.
constexpr std::uint32_t kLostBits = (1U << 13) - 1;

void round_to_tf32(const at::Tensor& host) {
  auto* bits = reinterpret_cast<std::uint32_t*>(host.mutable_data_ptr<float>());
  for (std::int64_t i = 0; i < host.numel(); ++i) {
    bits[i] = (bits[i] + (kLostBits + 1) / 2) & ~kLostBits;
  }
}

/// As another order of additions would have it. `Bits` holds one element.
template <typename Bits>
void flip_last_bits(const at::Tensor& host) {
  static std::uint32_t random = static_cast<std::uint32_t>(getpid());
  auto* bits = static_cast<Bits*>(host.mutable_data_ptr());
  for (std::int64_t i = 0; i < host.numel(); ++i) {
    random = random * 1664525U + 1013904223U;
    if (bits[i] != 0) bits[i] ^= static_cast<Bits>(random >> 31U);
  }
}

bool sums_vary() {
  const char* asked = std::getenv("HETMOE_EMULATED_SUMS_VARY");
  if (asked == nullptr || std::string(asked) != "1") return false;
  return !at::globalContext().deterministicAlgorithms() ||
         std::getenv("CUBLAS_WORKSPACE_CONFIG") == nullptr;
}

}  // namespace

bool is_product(const c10::OperatorHandle& operation) {
  static const std::set<std::string> kProducts = {"aten::mm",  "aten::addmm",   "aten::addmm_",
                                                  "aten::bmm", "aten::baddbmm", "aten::baddbmm_"};
  return kProducts.contains(operation.operator_name().name);
}

void round_factors(const c10::OperatorHandle& operation, torch::jit::Stack& stack) {
  if (!at::globalContext().allowTF32CuBLAS()) return;
  static const std::set<std::string> kFactors = {"mat1", "mat2", "batch1", "batch2"};
  const std::string& name = operation.operator_name().name;
  const bool self_is_factor = name == "aten::mm" || name == "aten::bmm";
  const auto& arguments = operation.schema().arguments();
  const std::size_t first = stack.size() - arguments.size();
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i].name();
    if (!kFactors.contains(argument) && !(self_is_factor && argument == "self")) continue;
    c10::IValue& value = stack[first + i];
    if (!value.isTensor() || value.toTensor().scalar_type() != at::kFloat) continue;
    const at::Tensor factor = value.toTensor();
    const at::Tensor host = factor.to(at::kCPU).contiguous();
    round_to_tf32(host);
    value = host.to(factor.device());
  }
}

void vary_sums(torch::jit::Stack& stack) {
  if (!sums_vary() || stack.empty() || !stack.back().isTensor()) return;
  at::Tensor result = stack.back().toTensor();
  const at::Tensor host = result.to(at::kCPU).contiguous();
  if (result.scalar_type() == at::kFloat) flip_last_bits<std::uint32_t>(host);
  if (result.scalar_type() == at::kBFloat16) flip_last_bits<std::uint16_t>(host);
  result.copy_(host);
}

}  // namespace hetmoe::emulation
