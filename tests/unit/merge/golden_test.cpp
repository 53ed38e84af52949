#include <algorithm>
#include <cmath>
#include <iostream>

#include "d2c/core/json.hpp"
#include "d2c/lora/adapter.hpp"

#include "merge_test_support.hpp"
#include "test_support.hpp"

namespace d2c::merge::test {
namespace {

Options options_of(const json::Json& peft) {
  Options options;
  options.merged_rank = peft.value("svd_rank", Index{0});
  options.density = peft.value("density", 0.0);
  if (peft.value("majority_sign_method", "total") == "frequency") {
    options.majority_sign = MajoritySign::frequency;
  }
  return options;
}

/// Merges as peft does, in double from the float files: Frobenius norm of every merged update.
TEST(GoldenMerges, HavePeftsNorms) {
  for (const std::string family : {"llama-mha", "llama3-gqa-tied", "qwen2", "stablelm2",
                                   "mistral-sliding", "qwen3", "llama-v5-config"}) {
    const auto folder = d2c::test::golden(family);
    const json::Json golden = json::read_file(folder / "golden.json");
    ASSERT_FALSE(golden.at("merges").empty());
    double largest = 0.0;
    for (const auto& [name, merge] : golden.at("merges").items()) {
      SCOPED_TRACE(family + " " + name);
      const auto names = merge.at("adapters").get<std::vector<std::string>>();
      const auto weights = merge.at("weights").get<std::vector<double>>();
      std::vector<lora::Adapter> adapters;
      for (const std::string& adapter : names) {
        adapters.push_back(lora::read_adapter(folder / "adapters" / adapter));
      }
      std::vector<const lora::FactorMap*> maps;
      for (const lora::Adapter& adapter : adapters) maps.push_back(&adapter.modules);
      const Method& method =
          find_method(merge.at("options").at("combination_type").get<std::string>());
      const Options options = options_of(merge.at("options"));
      EXPECT_NO_THROW(validate(method, options));

      const lora::FactorMap merged = merge_adapters(method, maps, weights, names, options);
      const json::Json& norms = merge.at("delta_frobenius");
      ASSERT_EQ(merged.size(), norms.size());
      for (const auto& [module, factors] : merged) {
        const double expected = norms.at("model." + module).get<double>();
        const double error = std::abs(delta(factors).norm() - expected) / expected;
        EXPECT_LT(error, 1e-4) << module;
        largest = std::max(largest, error);
      }
    }
    std::cout << family << ": largest relative error of norms " << largest << '\n';
  }
}

}  // namespace
}  // namespace d2c::merge::test
