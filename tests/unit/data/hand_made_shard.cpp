#include "hand_made_shard.h"

namespace hetmoe {

std::string HandMadeShard::index_bytes() const {
  std::string bytes = magic + little_endian(version) + little_endian(type_code) +
                      little_endian(num_sequences) + little_endian(num_indices);
  for (const std::int32_t length : lengths) bytes += little_endian(length);
  for (const std::int64_t offset : offsets) bytes += little_endian(offset);
  for (const std::int64_t index : document_indices) bytes += little_endian(index);
  return bytes + tail;
}

std::string HandMadeShard::write(const TemporaryFolder& folder, const std::string& name) const {
  folder.write(name + ".idx", index_bytes());
  folder.write(name + ".bin", tokens);
  return folder / name;
}

}  // namespace hetmoe
