#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "core/model/model_config.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

using testing::HasSubstr;

// Tests run in the root of the source tree.
std::vector<std::string> config_files() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator("configs")) {
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path().string());
  }
  return paths;
}

/// Parameters that a token meets with top-2 of equal experts, or all of them. SwiGLU experts and
/// attention of three and four matrices, embeddings untied and counted, norms left out.
double parameters(const ModelConfig& model, double expert_share) {
  const auto hidden = static_cast<double>(model.hidden_size);
  const auto widths = expert_widths(model.experts);
  const double expert_rows =
      static_cast<double>(std::accumulate(widths.begin(), widths.end(), std::int64_t{0}));
  const double attention = 4 * hidden * static_cast<double>(model.num_heads * head_dim(model));
  return model.num_layers * (attention + expert_share * 3 * hidden * expert_rows) +
         2 * hidden * static_cast<double>(model.vocab_size);
}

TEST(ConfigFiles, EveryFileLoads) {
  const auto paths = config_files();
  EXPECT_EQ(paths.size(), 17U);
  for (const auto& path : paths) EXPECT_NO_THROW(load_run_config(path, {})) << path;
}

TEST(ConfigFiles, TheReadmeNamesEveryFile) {
  std::stringstream readme;
  readme << std::ifstream("configs/README.md").rdbuf();
  for (const auto& path : config_files()) {
    EXPECT_THAT(readme.str(), HasSubstr(std::filesystem::path(path).filename().string()));
  }
}

// Table 1 and appendix A of HMoE: 163M and 0.77B active for top-2 of 8 equal experts.
TEST(ConfigFiles, PaperModelsHaveThePapersParameters) {
  const RunConfig small = load_run_config("configs/moe_0.4b_top_k.yaml", {});
  EXPECT_NEAR(parameters(small.model, 0.25), 163e6, 1e6);
  EXPECT_NEAR(parameters(small.model, 1.0), 417e6, 1e6);
  const RunConfig medium = load_run_config("configs/moe_3b_top_k.yaml", {});
  EXPECT_NEAR(parameters(medium.model, 0.25), 0.770e9, 1e6);
  const RunConfig large = load_run_config("configs/hmoe_16b_top_p.yaml", {});
  EXPECT_NEAR(parameters(large.model, 1.0), 16.9e9, 0.1e9);
}

TEST(ConfigFiles, HeterogeneousAndHomogeneousPairsDifferInTheExpertsAndLossesOnly) {
  for (const std::string size : {"0.4b", "3b", "16b"}) {
    for (const std::string kind : {"top_k", "top_p"}) {
      RunConfig unequal = load_run_config("configs/hmoe_" + size + "_" + kind + ".yaml", {});
      const RunConfig equal = load_run_config("configs/moe_" + size + "_" + kind + ".yaml", {});
      EXPECT_EQ(unequal.model.router.parameter_penalty, 0.1);
      EXPECT_EQ(unequal.model.router.load_balance, 0);
      EXPECT_EQ(equal.model.router.parameter_penalty, 0);
      EXPECT_EQ(equal.model.router.load_balance, 0.01);
      EXPECT_EQ(unequal.model.router.entropy, kind == "top_p" ? 0.03 : 0);
      unequal.model.experts.shape = WidthShape::kHomogeneous;
      unequal.model.router.parameter_penalty = 0;
      unequal.model.router.load_balance = 0.01;
      EXPECT_EQ(resolved_yaml(unequal), resolved_yaml(equal)) << size << " " << kind;
    }
  }
}

}  // namespace
}  // namespace hetmoe
