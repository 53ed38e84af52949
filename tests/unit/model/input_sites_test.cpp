#include "d2c/model/input_sites.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "d2c/model/decoder.hpp"

#include "batches.hpp"
#include "tiny_model.hpp"

namespace d2c::model {
namespace {

using json::Json;
using test::Ids;
using test::TinyModel;

class InputSites : public testing::TestWithParam<Json> {};

TEST_P(InputSites, ShowsWhatEveryModuleReads) {
  const TinyModel tiny = test::tiny_model(GetParam());
  const Model model = load(tiny);
  const lora::FactorMap adapter = test::tiny_adapter(tiny, 3);
  const PreparedAdapter prepared(test::one_thread, model.config(), adapter);
  // Two sequences that share a prefix.
  const Ids prefix{7, 3, 11, 40};
  const std::vector<Ids> tails{{1, 2, 3}, {9, 8}};
  TokenForest forest;
  const Index root = test::add_segment(forest, prefix);
  for (const Ids& tail : tails) test::add_segment(forest, tail, root);

  const std::vector<InputSite> sites = input_sites(model.config());
  std::vector<Matrix> shown(sites.size());
  Decoder(model).show_inputs(test::one_thread, forest, &prepared,
                             [&](std::size_t site, ops::ConstRows x) {
                               shown.at(site) = Matrix(x.n, x.width);
                               ops::copy(x, ops::rows_of(shown[site]));
                             });

  for (std::size_t s = 0; s < tails.size(); ++s) {
    Ids ids = prefix;
    ids.insert(ids.end(), tails[s].begin(), tails[s].end());
    const test::ReferenceInputs expected = test::reference_inputs(tiny, ids, adapter);
    for (std::size_t site = 1; site < sites.size(); ++site) {
      for (const std::string& module : sites[site].modules) {
        SCOPED_TRACE(module);
        const auto& rows = expected.at(module);
        ASSERT_EQ(shown[site].rows(), std::ssize(forest.ids));
        ASSERT_EQ(shown[site].cols(), sites[site].d_in);
        for (std::size_t t = 0; t < ids.size(); ++t) {
          const Index row = t < prefix.size() ? static_cast<Index>(t)
                                              : forest.segments[s + 1].begin +
                                                    static_cast<Index>(t - prefix.size());
          ASSERT_EQ(std::ssize(rows[t]), sites[site].d_in);
          for (Index j = 0; j < sites[site].d_in; ++j) {
            // Inputs of a size near 1 after sums of 20 to 28 terms in a few layers.
            EXPECT_NEAR(shown[site](row, j), rows[t][static_cast<std::size_t>(j)], 5e-5);
          }
        }
      }
    }
  }
  EXPECT_TRUE(sites.front().one_hot);
  EXPECT_EQ(shown.front().rows(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Families, InputSites,
    testing::Values(Json::object(), Json{{"model_type", "qwen3"}},
                    Json{{"model_type", "stablelm"}, {"use_parallel_residual", true}},
                    Json{{"model_type", "mistral"}, {"sliding_window", 3}},
                    Json{{"model_type", "gemma2"}, {"sliding_window", 3}},
                    Json{{"model_type", "granite"}, {"logits_scaling", 4.0}},
                    Json{{"model_type", "olmo2"}}, Json{{"model_type", "phi3"}}));

}  // namespace
}  // namespace d2c::model
