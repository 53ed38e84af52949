#include <set>

#include "d2c/core/error.hpp"
#include "d2c/merge/merge.hpp"

#include "merge_test_support.hpp"
#include "test_support.hpp"

namespace d2c::merge::test {
namespace {

TEST(Registry, NamesAreUniqueAndEveryRowIsComplete) {
  std::set<std::string_view> names;
  for (const Method& method : methods()) {
    EXPECT_TRUE(names.insert(method.name).second) << method.name;
    EXPECT_EQ(&find_method(method.name), &method);
    EXPECT_FALSE(method.summary.empty()) << method.name;
    EXPECT_FALSE(method.reference.empty()) << method.name;
    EXPECT_NE(method.function, nullptr) << method.name;
  }
}

TEST(Registry, AnUnknownNameIsAUsageErrorThatListsTheKnownOnes) {
  D2C_EXPECT_ERROR((void)find_method("avarage"), UsageError, "'avarage'", "average", "linear");
}

TEST(Validate, RefusesValuesOutOfRange) {
  const Method& method = find_method("average");
  EXPECT_NO_THROW(validate(method, {}));
  EXPECT_NO_THROW(validate(method, {.merged_rank = 4, .seed = 9}));
  D2C_EXPECT_ERROR(validate(method, {.merged_rank = -1}), UsageError, "-1");
  for (const double density : {-0.5, 1.5, std::nan("")}) {
    EXPECT_THROW(validate(method, {.density = density}), UsageError) << density;
  }
}

TEST(Validate, RefusesToPruneWithoutADensity) {
  for (const Method& method : methods()) {
    if (!method.uses_density) {
      EXPECT_NO_THROW(validate(method, {})) << method.name;
      continue;
    }
    D2C_EXPECT_ERROR(validate(method, {}), UsageError, method.name, "needs --density");
    EXPECT_NO_THROW(validate(method, {.density = 1})) << method.name;
  }
}

TEST(Validate, RefusesAnOptionTheMethodDoesNotRead) {
  for (const Method& method : methods()) {
    const auto check = [&](bool reads, Options options) {
      if (method.uses_density && options.density == 0) options.density = 1;
      if (reads) {
        EXPECT_NO_THROW(validate(method, options)) << method.name;
      } else {
        D2C_EXPECT_ERROR(validate(method, options), UsageError, method.name, "does not read");
        EXPECT_NO_THROW(validate(method, read_by(method, options)));
      }
    };
    check(method.uses_merged_rank, {.merged_rank = 4});
    check(method.uses_density, {.density = 0.5});
    check(method.uses_majority_sign, {.majority_sign = MajoritySign::frequency});
  }
}

TEST(MergeAdapters, MergesTheUnionOfModules) {
  std::mt19937 rng(1);
  lora::FactorMap one;
  lora::FactorMap two;
  one.emplace("q", random_factors(rng, 6, 5, 2, 2));
  one.emplace("k", random_factors(rng, 4, 5, 2, 2));
  two.emplace("q", random_factors(rng, 6, 5, 3, 1));
  two.emplace("v", random_factors(rng, 4, 5, 3, 1));
  const lora::FactorMap* adapters[] = {&one, &two};
  const double weights[] = {0.5, 0.25};
  const std::string names[] = {"one", "two"};
  const lora::FactorMap merged = merge_adapters(find_method("cat"), adapters, weights, names, {});
  ASSERT_EQ(merged.size(), 3u);
  EXPECT_LT((delta(merged.at("q")) - 0.5 * delta(one.at("q")) - 0.25 * delta(two.at("q"))).norm(),
            1e-5);
  EXPECT_LT((delta(merged.at("k")) - 0.5 * delta(one.at("k"))).norm(), 1e-5);
  EXPECT_LT((delta(merged.at("v")) - 0.25 * delta(two.at("v"))).norm(), 1e-5);
}

TEST(MergeAdapters, NamesModuleAndAdaptersInErrors) {
  std::mt19937 rng(1);
  lora::FactorMap one;
  lora::FactorMap two;
  one.emplace("layers.0.q_proj", random_factors(rng, 6, 5, 2, 2));
  two.emplace("layers.0.q_proj", random_factors(rng, 6, 5, 3, 1));
  const lora::FactorMap* adapters[] = {&one, &two};
  const double weights[] = {0.5, 0.25};
  const std::string names[] = {"one", "two"};
  D2C_EXPECT_ERROR((void)merge_adapters(find_method("linear"), adapters, weights, names, {}),
                   InputError, "layers.0.q_proj", "'one'", "'two'");
}

}  // namespace
}  // namespace d2c::merge::test
