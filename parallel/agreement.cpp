#include "parallel/agreement.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <exception>
#include <numeric>
#include <span>

namespace hetmoe {
namespace {

struct Failure {
  int code = 0;
  std::string message;
};

Failure attempt(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const Error& error) {
    return {static_cast<int>(error.exit_code()), error.what()};
  } catch (const std::exception& error) {
    return {static_cast<int>(ExitCode::kInternal), describe(error)};
  }
}

}  // namespace

void collectively(Communicator& group, const std::function<void()>& work) {
  const Failure failure = attempt(work);
  std::array<std::int64_t, 1> first = {failure.code == 0 ? group.size() : group.rank()};
  group.all_reduce(buffer_of(std::span<std::int64_t>(first)), Reduction::kMin).wait();
  if (first[0] == group.size()) return;

  const int root = static_cast<int>(first[0]);
  std::array<std::int64_t, 1> code = {failure.code};
  group.broadcast(buffer_of(std::span<std::int64_t>(code)), root).wait();
  const std::string message = broadcast_text(group, failure.message, root);
  throw AgreedError(static_cast<ExitCode>(code[0]),
                    root == 0 ? message : "rank " + std::to_string(root) + ": " + message);
}

std::string broadcast_text(Communicator& group, std::string text, int root) {
  std::array<std::int64_t, 1> size = {static_cast<std::int64_t>(text.size())};
  group.broadcast(buffer_of(std::span<std::int64_t>(size)), root).wait();
  text.resize(static_cast<std::size_t>(size[0]));
  group.broadcast(buffer_of(std::span<char>(text)), root).wait();
  return text;
}

std::vector<std::string> gather_texts(Communicator& group, const std::string& text) {
  const auto ranks = static_cast<std::size_t>(group.size());
  std::vector<std::int64_t> sizes(ranks, 0);
  sizes[static_cast<std::size_t>(group.rank())] = static_cast<std::int64_t>(text.size());
  group.all_reduce(buffer_of(std::span<std::int64_t>(sizes)), Reduction::kSum).wait();
  std::vector<std::int64_t> begins(ranks + 1, 0);
  std::partial_sum(sizes.begin(), sizes.end(), begins.begin() + 1);
  std::string all(static_cast<std::size_t>(begins.back()), '\0');
  std::copy(text.begin(), text.end(), all.begin() + begins[static_cast<std::size_t>(group.rank())]);
  group.all_gather_v(buffer_of(std::span<char>(all)), sizes).wait();
  std::vector<std::string> texts;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    texts.push_back(
        all.substr(static_cast<std::size_t>(begins[rank]), static_cast<std::size_t>(sizes[rank])));
  }
  return texts;
}

}  // namespace hetmoe
