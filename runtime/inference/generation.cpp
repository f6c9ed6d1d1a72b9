#include "runtime/inference/generation.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "core/base/error.h"
#include "core/base/random.h"
#include "parallel/agreement.h"
#include "runtime/inference/growing_sequence.h"

namespace hetmoe {
namespace {

void require_valid(const Sampling& sampling) {
  if (!(sampling.temperature >= 0)) {
    throw ConfigError("temperature " + std::to_string(sampling.temperature) +
                      ", allowed: 0 or more");
  }
  if (sampling.top_k < 0) {
    throw ConfigError("top-k " + std::to_string(sampling.top_k) + ", allowed: 0 (all) or more");
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    throw ConfigError("top-p " + std::to_string(sampling.top_p) +
                      ", allowed: above 0, at most 1 (all)");
  }
}

void require_valid(const GenerationRequest& request, std::int64_t model_vocab_size) {
  const auto prompt = static_cast<std::int64_t>(request.prompt.size());
  if (prompt == 0) throw ConfigError("the prompt is empty, allowed: at least one token");
  if (request.max_tokens < 0 || request.max_tokens > kLongestSequence - prompt) {
    throw ConfigError("a prompt of " + std::to_string(prompt) + " tokens and " +
                      std::to_string(request.max_tokens) +
                      " more, allowed: " + std::to_string(kLongestSequence) + " together");
  }
  require_valid(request.sampling);
  if (request.vocab_size < 1 || request.vocab_size > model_vocab_size) {
    throw ConfigError("a tokenizer of " + std::to_string(request.vocab_size) +
                      " tokens, allowed: at most model.vocab_size " +
                      std::to_string(model_vocab_size));
  }
  for (const std::int32_t token : request.prompt) {
    if (token >= 0 && token < request.vocab_size) continue;
    throw ConfigError("token " + std::to_string(token) + " in the prompt, allowed: 0 to " +
                      std::to_string(request.vocab_size - 1));
  }
}

/// What rank 0 holds.
class Text {
 public:
  explicit Text(const GenerationRequest& request)
      : request_(request), random_(request.seed, "generate"), tokens_(request.prompt) {}

  std::span<const std::int32_t> tokens() const { return tokens_; }
  bool goes_on() const { return !ended_ && drawn() < request_.max_tokens; }

  void draw(std::span<const float> logits) {
    const std::int32_t token =
        sample_token(logits.first(static_cast<std::size_t>(request_.vocab_size)), request_.sampling,
                     random_, static_cast<std::uint64_t>(drawn()));
    ended_ = token == request_.end_of_document;
    if (ended_) return;
    tokens_.push_back(token);
    if (request_.on_token) request_.on_token(token);
  }

  Generation take() const {
    return {{tokens_.begin() + static_cast<std::ptrdiff_t>(request_.prompt.size()), tokens_.end()},
            ended_};
  }

 private:
  std::int64_t drawn() const {
    return static_cast<std::int64_t>(tokens_.size() - request_.prompt.size());
  }

  const GenerationRequest& request_;
  CounterRandom random_;
  std::vector<std::int32_t> tokens_;
  bool ended_ = false;
};

bool of_first(Communicator& control, bool value) {
  std::array<std::int64_t, 1> shared = {value ? 1 : 0};
  control.broadcast(buffer_of(std::span<std::int64_t>(shared)), 0).wait();
  return shared[0] != 0;
}

}  // namespace

Generation generate(LoadedModel& model, const GenerationRequest& request) {
  Communicator& control = model.control();
  const bool is_first = control.rank() == 0;
  collectively(control, [&] {
    if (is_first) require_valid(request, model.config().model.vocab_size);
  });
  Text text(request);
  GrowingSequence sequence(model);
  while (of_first(control, text.goes_on())) {
    const std::vector<float> logits =
        sequence.next_token_logits(is_first ? text.tokens() : std::span<const std::int32_t>());
    collectively(control, [&] {
      if (is_first) text.draw(logits);
    });
  }
  return is_first ? text.take() : Generation();
}

}  // namespace hetmoe
