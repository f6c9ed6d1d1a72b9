// `--init`: a run that begins with the weights of a checkpoint, on any number of ranks.

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "core/data/random_batch_reader.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/trainer/global_batch.h"
#include "runtime/trainer/run_start.h"
#include "tests/distributed/inference_world.h"
#include "tests/distributed/owned_values.h"
#include "tests/support/whole_model.h"

namespace hetmoe::test {
namespace {

/// Of the run that begins: other groups than those of the run that saved, other training.
RunConfig beginning(RunConfig config) {
  config.parallel.expert_group_size = 0;
  config.train.seed = 8;
  config.train.learning_rate = 0.5;
  return config;
}

RunConfig with_hyper() {
  RunConfig config = small_model();
  config.model.hyper.enabled = true;
  config.model.hyper.rank = 2;
  config.model.hyper.hidden = 3;
  return config;
}

RunConfig in_bf16() {
  RunConfig config = small_model();
  config.train.precision = Precision::kBf16;
  return config;
}

/// A checkpoint of three files that holds `saved`'s model, without moments, and a new run.
class BeginsWith {
 public:
  explicit BeginsWith(const RunConfig& saved)
      : config_(beginning(saved)), store_(whole_store(saved)) {
    fill(store_);
    other_.save({.config = saved, .parameters = store_, .step = 40, .files = 3});
  }

  ResumePoint find(const RunConfig& config) {
    const TrainingRequest request{
        .config = config, .init = other_.path().string(), .world = test_world(), .clock = clock_};
    return find_resume_point(request, RunDirectory::open(own_.path().string()), test_world());
  }

  /// The message with which every rank is refused, and the code.
  std::pair<ExitCode, std::string> refusal(const RunConfig& config) {
    try {
      find(config);
    } catch (const AgreedError& error) {
      return {error.exit_code(), error.what()};
    }
    return {ExitCode::kDone, "not refused"};
  }

  const RunConfig& config() const { return config_; }
  ParameterStore& store() { return store_; }

 private:
  RunConfig config_;
  ParameterStore store_;  ///< what was saved
  SavedRun other_;
  SharedFolder own_;
  SystemClock clock_;
};

class InitialWeights : public testing::TestWithParam<RunConfig> {};

TEST_P(InitialWeights, AreTheCheckpointsMastersAndMomentsAreZero) {
  BeginsWith begins(GetParam());
  const RunConfig& config = begins.config();
  ResumePoint point = begins.find(config);
  EXPECT_FALSE(point.checkpoint);
  ASSERT_TRUE(point.weights);
  TrainingWorld training(config, test_world(), cut_placement(config.model, test_world().size()),
                         first_values(config, point));
  EXPECT_EQ(training.training().updates(), 0);
  const Values found = values_of_owners(config, training.ownership(), test_world());
  CheckpointReader reader(point.weights->path());
  for (const auto& [name, shape] : tensor_shapes(config.model)) {
    std::vector<float> masters(found.at(name).size() / 3);
    reader.read_rows(name, 0, shape[0], masters);
    std::vector<double> expected(masters.begin(), masters.end());
    expected.resize(3 * masters.size(), 0.0);
    EXPECT_EQ(found.at(name), expected) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, InitialWeights,
                         testing::Values(small_model(), with_hyper(), in_bf16()));

TEST(FirstStep, HasTheLossOfTheCheckpointOnTheFirstBatchOfTheNewRun) {
  BeginsWith begins(small_model());
  const RunConfig& config = begins.config();
  const TrainConfig& train = config.train;
  ResumePoint point = begins.find(config);
  TrainingWorld training(config, test_world(), cut_placement(config.model, test_world().size()),
                         first_values(config, point));
  const StepOutcome first = training.step(1);

  RandomBatchReader reader(train.seed, config.model.vocab_size, train.sequence_length,
                           train.global_batch);
  Batch batch;
  reader.read(1, places({0, train.global_batch}), batch);
  WholeModel whole(config, begins.store());
  double sum = 0;
  for (std::int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
    const auto begin = batch.inputs.begin() + sequence * batch.length;
    std::vector<std::int32_t> tokens(begin, begin + batch.length);
    tokens.push_back(batch.targets[(sequence + 1) * batch.length - 1]);
    sum += whole.loss_sum(tokens);
  }
  const double expected = sum / static_cast<double>(batch.sequences * batch.length);
  EXPECT_NEAR(first.loss, expected, 1e-5 * expected);
  EXPECT_EQ(first.learning_rate, train.learning_rate);
}

TEST(Refusal, OfAnotherShapeNamesTheFirstKeyThatDiffers) {
  BeginsWith begins(small_model());
  RunConfig config = begins.config();
  config.model.num_kv_heads = 4;
  config.model.experts.widths = {3, 4, 6, 12};
  const auto [code, text] = begins.refusal(config);
  EXPECT_EQ(code, ExitCode::kConfiguration);
  EXPECT_NE(text.find("step-00000040: model.num_kv_heads: 2 in the checkpoint, 4 here"),
            std::string::npos)
      << text;
  config.model.num_kv_heads = 2;
  EXPECT_NE(begins.refusal(config).second.find(
                "model.experts.widths: [3, 4, 6, 11] in the checkpoint, [3, 4, 6, 12] here"),
            std::string::npos);
}

TEST(Note, SaysWhatTheWeightsWillMeanOtherwise) {
  BeginsWith begins(small_model());
  RunConfig config = begins.config();
  config.model.rope_theta = 500;
  config.model.router.top_k = 1;
  config.model.router.load_balance = 3;
  const std::vector<std::string> notes = begins.find(config).notes;
  ASSERT_EQ(notes.size(), 3U);
  EXPECT_NE(notes[0].find("model.rope_theta: 10000 in the checkpoint, 500 here"),
            std::string::npos);
  EXPECT_NE(notes[1].find("model.router.top_k"), std::string::npos);
  EXPECT_NE(notes[2].find("model.router.renormalize"), std::string::npos);
}

}  // namespace
}  // namespace hetmoe::test
