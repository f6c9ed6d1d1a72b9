#include "tests/support/rank_listener.h"

#include <cstdio>
#include <sstream>

namespace hetmoe::test {

void RankListener::OnTestStart(const testing::TestInfo& test) {
  test_ = std::string(test.test_suite_name()) + '.' + test.name();
}

void RankListener::OnTestPartResult(const testing::TestPartResult& result) {
  if (!result.failed()) return;
  std::ostringstream text;
  text << test_ << ": ";
  if (result.file_name() != nullptr) text << result.file_name() << ':' << result.line_number();
  text << '\n' << result.message();
  if (result.fatally_failed()) world_.abort("fatal failure in " + text.str(), 1);
  std::fprintf(stderr, "rank %d of %d: failure in %s\n", world_.rank(), world_.size(),
               text.str().c_str());
  std::fflush(stderr);
}

}  // namespace hetmoe::test
