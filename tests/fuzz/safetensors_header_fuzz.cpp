// A header of any bytes is refused by a StorageError, or keeps what parse_safetensors_header says.
// The first two bytes of the input are the bytes of data that follow the header.

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/files/safetensors.h"

namespace {

void check_promises(const hetmoe::SafetensorsHeader& header, std::int64_t data_bytes) {
  std::set<std::string_view> names;
  std::int64_t end = 0;
  for (const hetmoe::TensorInfo& tensor : header.tensors) {
    HETMOE_CHECK(names.insert(tensor.name).second, tensor.name, " twice");
    HETMOE_CHECK(tensor.begin == end, tensor.name, " begins at ", tensor.begin, ", not ", end);
    // UBSan watches: the parser has promised that these products do not overflow.
    std::int64_t elements = 1;
    for (const std::int64_t size : tensor.shape) elements *= size;
    HETMOE_CHECK(tensor.bytes() * 8 == elements * hetmoe::bits_of(tensor.type), tensor.name, " of ",
                 tensor.bytes(), " bytes");
    end = tensor.end;
  }
  HETMOE_CHECK(end == data_bytes, "tensors end at ", end, " of ", data_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  if (size < 2) return 0;
  const std::int64_t data_bytes = input[0] + 256 * std::int64_t{input[1]};
  const std::string_view text(reinterpret_cast<const char*>(input) + 2, size - 2);
  try {
    check_promises(hetmoe::parse_safetensors_header(text, data_bytes, "input"), data_bytes);
  } catch (const hetmoe::StorageError& error) {
    HETMOE_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos,
                 "an error of several lines");
  }
  return 0;
}
