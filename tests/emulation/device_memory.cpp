#include "tests/emulation/device_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace hetmoe::emulation {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kMarkedBytes = std::size_t{1} << 20;

void require(bool condition, const char* what) {
  if (condition) return;
  std::perror(what);
  std::abort();
}

std::size_t limit_of(const char* variable) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::min<std::size_t>(std::strtoull(text, nullptr, 10), kDeviceBytes)
                         : kDeviceBytes;
}

class DeviceMemory {
 public:
  DeviceMemory() {
    void* range =
        mmap(nullptr, kDeviceBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(range != MAP_FAILED, "emulated device memory");
    begin_ = static_cast<std::byte*>(range);
  }

  void* allocate(std::size_t size) {
    const std::scoped_lock guard(lock_);
    const std::size_t taken =
        (std::max<std::size_t>(size, 1) + kAlignment - 1) / kAlignment * kAlignment;
    std::size_t offset = 0;
    for (const auto& [begin, block] : blocks_) {
      if (begin - offset >= taken) break;
      offset = begin + block.taken;
    }
    if (offset + taken > bytes_ || used_ + taken > bytes_ || size > largest_) {
      refused_ = size;
      return nullptr;
    }
    blocks_[offset] = {taken, size};
    used_ += taken;
    peak_ = std::max(peak_, used_);
    mark(offset, taken);
    return begin_ + offset;
  }

  bool free(void* pointer) {
    const std::scoped_lock guard(lock_);
    const auto found =
        blocks_.find(static_cast<std::size_t>(static_cast<std::byte*>(pointer) - begin_));
    if (found == blocks_.end()) return false;
    used_ -= found->second.taken;
    mark(found->first, found->second.taken);
    give_back(found->first, found->second.taken);
    blocks_.erase(found);
    return true;
  }

  bool contains(const void* pointer, std::size_t size) {
    const std::scoped_lock guard(lock_);
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    const auto first = reinterpret_cast<std::uintptr_t>(begin_);
    if (address < first || address - first >= kDeviceBytes) return false;
    auto next = blocks_.upper_bound(address - first);
    if (next == blocks_.begin()) return false;
    const auto& [begin, block] = *--next;
    // One past the end is where an empty part may begin.
    return address - first + size <= begin + std::max<std::size_t>(block.size, 1);
  }

  std::size_t free_bytes() {
    const std::scoped_lock guard(lock_);
    return bytes_ - used_;
  }
  std::size_t bytes() const { return bytes_; }
  std::size_t peak_bytes() {
    const std::scoped_lock guard(lock_);
    return peak_;
  }
  std::size_t refused_bytes() {
    const std::scoped_lock guard(lock_);
    return refused_;
  }

  void mark_with(unsigned char byte) {
    const std::scoped_lock guard(lock_);
    mark_ = byte;
  }

  void enter() {
    lock_.lock();
    open();
  }
  void leave() {
    close();
    lock_.unlock();
  }

 private:
  struct Block {
    std::size_t taken = 0;
    std::size_t size = 0;
  };

  void mark(std::size_t offset, std::size_t size) {
    open();
    std::memset(begin_ + offset, mark_, std::min(size, kMarkedBytes));
    close();
  }

  /// What was filled beyond the mark: every change of protection visits each page that was.
  void give_back(std::size_t offset, std::size_t size) {
    constexpr std::size_t kPage = 4096;
    const std::size_t begin = (offset + kMarkedBytes + kPage - 1) / kPage * kPage;
    const std::size_t end = (offset + size) / kPage * kPage;
    if (begin < end) require(madvise(begin_ + begin, end - begin, MADV_DONTNEED) == 0, "madvise");
  }

  void open() {
    if (depth_++ == 0)
      require(mprotect(begin_, kDeviceBytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
  }
  void close() {
    if (--depth_ == 0) require(mprotect(begin_, kDeviceBytes, PROT_NONE) == 0, "mprotect");
  }

  std::recursive_mutex lock_;
  std::byte* begin_ = nullptr;
  std::map<std::size_t, Block> blocks_;  ///< by offset
  std::size_t bytes_ = limit_of("HETMOE_EMULATED_MEMORY");
  std::size_t largest_ = limit_of("HETMOE_EMULATED_LARGEST");
  std::size_t used_ = 0, peak_ = 0, refused_ = 0;
  int depth_ = 0;
  unsigned char mark_ = 0xff;
};

// Lives as long as the process: LibTorch frees tensors when statics go.
DeviceMemory& memory() {
  static auto* const instance = new DeviceMemory;
  return *instance;
}

}  // namespace

void* allocate_on_device(std::size_t size) { return memory().allocate(size); }
void mark_new_memory(unsigned char byte) { memory().mark_with(byte); }
bool free_on_device(void* pointer) { return memory().free(pointer); }
bool is_on_device(const void* pointer, std::size_t size) {
  return memory().contains(pointer, size);
}
std::size_t free_device_bytes() { return memory().free_bytes(); }
std::size_t device_bytes() { return memory().bytes(); }
std::size_t peak_device_bytes() { return memory().peak_bytes(); }
std::size_t refused_device_bytes() { return memory().refused_bytes(); }

DeviceWork::DeviceWork() { memory().enter(); }
DeviceWork::~DeviceWork() { memory().leave(); }

}  // namespace hetmoe::emulation
