// A task file of any bytes is refused by a StorageError of one line, or its items can be asked:
// the answer is one of the choices, and each choice has tokens that are scored and one before them.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "runtime/tasks/task_file.h"
#include "runtime/tasks/task_requests.h"

namespace {

constexpr std::int64_t kWindow = 8192;  // longer than any input

void check_promises(const hetmoe::Task& task) {
  std::size_t choices = 0;
  for (const hetmoe::TaskItem& item : task.items) {
    const auto count = static_cast<std::int64_t>(item.choices.size());
    HETMOE_CHECK(count >= 2 && item.answer >= 0 && item.answer < count, "answer ", item.answer);
    choices += item.choices.size();
  }
  hetmoe::ByteTokenizer tokenizer;
  const auto requests = hetmoe::encode_requests(task, tokenizer, kWindow);
  HETMOE_CHECK(requests.size() == choices, requests.size(), " of ", choices);
  for (const hetmoe::TaskRequest& request : requests) {
    const auto tokens = static_cast<std::int64_t>(request.tokens.size());
    HETMOE_CHECK(request.scored >= 1 && request.scored < tokens, request.scored, " of ", tokens);
    HETMOE_CHECK(!request.cut && tokens <= kWindow + 1, tokens, " tokens");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  try {
    check_promises(hetmoe::parse_task({reinterpret_cast<const char*>(input), size}, "input"));
  } catch (const hetmoe::StorageError& error) {
    HETMOE_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos,
                 "an error of several lines");
  }
  return 0;
}
