#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <array>
#include <thread>

namespace hetmoe {
namespace {

// at::parallel_for is a template that falls back to one thread where it is compiled without OpenMP.
TEST(Threads, TakePartInLoopsThatAreCompiledHere) {
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  std::array<std::thread::id, 2> ids;
  at::parallel_for(0, 2, 1, [&](std::int64_t begin, std::int64_t end) {
    EXPECT_EQ(end, begin + 1);
    ids[static_cast<std::size_t>(begin)] = std::this_thread::get_id();
  });
  at::set_num_threads(before);
  EXPECT_NE(ids[0], ids[1]);
}

}  // namespace
}  // namespace hetmoe
