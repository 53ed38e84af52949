#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "d2c/core/json.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/model/decoder.hpp"
#include "d2c/model/generator.hpp"

#include "batches.hpp"
#include "test_support.hpp"

// Losses of whole models against Hugging Face transformers and peft in float64.

namespace d2c::model {
namespace {

using test::Ids;
using test::TestBatch;

/// The largest error of a set of losses, with its place.
struct Worst {
  double error = -1.0;
  std::size_t example = 0;
  std::size_t token = 0;

  void see(double value, double reference, std::size_t in_example, std::size_t at_token) {
    const double difference = std::abs(value - reference);
    // A NaN counts as the worst.
    if (difference <= error) return;
    *this = {difference, in_example, at_token};
  }
};

std::ostream& operator<<(std::ostream& out, const Worst& worst) {
  return out << worst.error << " nats at example " << worst.example << ", token " << worst.token;
}

Worst compare(const std::vector<double>& nll, const json::Json& reference) {
  Worst worst;
  std::size_t i = 0;
  for (std::size_t example = 0; example < reference.size(); ++example) {
    const auto values = reference[example].get<std::vector<double>>();
    const auto first = nll.begin() + static_cast<std::ptrdiff_t>(i);
    const auto n = static_cast<std::ptrdiff_t>(values.size());
    const double mean = std::accumulate(first, first + n, 0.0) / static_cast<double>(n);
    const double expected =
        std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(n);
    EXPECT_NEAR(mean / expected, 1.0, 1e-5) << "mean of example " << example;
    for (std::size_t token = 0; token < reference[example].size(); ++token) {
      worst.see(nll.at(i++), reference[example][token].get<double>(), example, token);
    }
  }
  EXPECT_EQ(i, nll.size());
  return worst;
}

class GoldenModel : public testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] std::filesystem::path folder() const { return test::golden(GetParam()); }
};

TEST_P(GoldenModel, LossesOfBaseAndAdaptersAreThoseOfTheReference) {
  constexpr double tolerance = 2e-4;
  const json::Json golden = json::read_file(folder() / "golden.json");
  TestBatch batch;
  for (const json::Json& example : golden.at("examples")) {
    test::add_sequence(batch, example.at("ids").get<Ids>(), example.at("prompt_len").get<Index>());
  }
  const Model model(folder() / "model");
  Decoder decoder(model);

  const Worst base =
      compare(decoder.nll(test::one_thread, batch.forest, batch.targets), golden.at("base"));
  std::cout << "base: largest error " << base << '\n';
  EXPECT_LE(base.error, tolerance);
  for (const auto& [name, reference] : golden.at("adapters").items()) {
    const auto adapter = lora::read_adapter(folder() / "adapters" / name, model.target_modules());
    const PreparedAdapter prepared(test::one_thread, model.config(), adapter.modules);
    const Worst worst =
        compare(decoder.nll(test::one_thread, batch.forest, batch.targets, &prepared), reference);
    std::cout << name << ": largest error " << worst << '\n';
    EXPECT_LE(worst.error, tolerance) << name;
  }
}

TEST_P(GoldenModel, GeneratesWhatFullPassesGiveTokenByToken) {
  constexpr Index n_tokens = 20;
  const json::Json golden = json::read_file(folder() / "golden.json");
  const Model model(folder() / "model");
  std::vector<Ids> prompts;
  for (const json::Json& example : golden.at("examples")) {
    const Ids ids = example.at("ids").get<Ids>();
    prompts.emplace_back(ids.begin(), ids.begin() + example.at("prompt_len").get<Index>());
  }
  Decoder decoder(model);
  const auto check = [&](const PreparedAdapter* adapter) {
    TokenForest forest;
    std::vector<Index> ends;
    for (const Ids& prompt : prompts) {
      test::add_segment(forest, prompt);
      ends.push_back(forest.segments.back().end - 1);
    }
    const auto generated = generate(model, test::one_thread, forest, ends, {n_tokens, {}}, adapter);
    std::vector<Ids> texts = prompts;
    for (Index step = 0; step < n_tokens; ++step) {
      TokenForest whole;
      for (std::size_t i = 0; i < texts.size(); ++i) {
        test::add_segment(whole, texts[i]);
        ends[i] = whole.segments.back().end - 1;
      }
      const auto next = decoder.most_probable(test::one_thread, whole, ends, 1, adapter).tokens;
      for (std::size_t i = 0; i < texts.size(); ++i) texts[i].push_back(next[i]);
    }
    for (std::size_t i = 0; i < texts.size(); ++i) {
      texts[i].erase(texts[i].begin(), texts[i].begin() + std::ssize(prompts[i]));
      EXPECT_EQ(generated[i], texts[i]) << "example " << i;
    }
  };
  check(nullptr);
  for (const char* name : {"all-r4-a", "qv-r4"}) {
    SCOPED_TRACE(name);
    const auto adapter = lora::read_adapter(folder() / "adapters" / name, model.target_modules());
    const PreparedAdapter prepared(test::one_thread, model.config(), adapter.modules);
    check(&prepared);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModel,
                         testing::Values("llama-mha", "llama3-gqa-tied", "qwen2", "stablelm2",
                                         "mistral-sliding", "qwen3", "llama-v5-config", "gemma2",
                                         "gemma3", "granite", "olmo2", "phi3", "smollm3"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

class TrainedModel : public testing::TestWithParam<std::string> {};

TEST_P(TrainedModel, LossesAreThoseOfTheReference) {
  const auto folder = test::shared("real/models/" + GetParam());
  D2C_SKIP_WITHOUT(folder / "golden_nll.json");
  const json::Json golden = json::read_file(folder / "golden_nll.json");
  TestBatch batch;
  json::Json reference = json::Json::array();
  for (const json::Json& example : golden.at("cases")) {
    test::add_sequence(batch, example.at("ids").get<Ids>());
    reference.push_back(example.at("nll"));
  }
  const Model model(folder);
  Decoder decoder(model);
  const Worst worst =
      compare(decoder.nll(test::one_thread, batch.forest, batch.targets), reference);
  std::cout << "largest error " << worst << '\n';
  EXPECT_LE(worst.error, 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Models, TrainedModel, testing::Values("stories260k", "tinystories-656k"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace d2c::model
