#include <map>
#include <set>
#include <string>
#include <vector>

#include "d2c/core/json.hpp"
#include "d2c/job/option_table.hpp"

#include "options/cluster_counts.hpp"
#include "test_support.hpp"

namespace d2c::job {
namespace {

/// For every option, texts that differ from its default; all words of those that take words.
const std::map<std::string, std::vector<std::string>>& other_values() {
  static const std::map<std::string, std::vector<std::string>> values{
      {"manifest", {"/tmp/some/manifest.json"}},
      {"placed", {"8"}},
      {"K", {"4", "3,5", "2..8", "1..3,7"}},
      {"sweep-pick", {"5"}},
      {"budget-mb", {"2.5"}},
      {"on-bad-adapter", {"skip"}},
      {"constraints", {"/tmp/rules.json"}},
      {"min-cluster-size", {"2"}},
      {"max-cluster-size", {"7"}},
      {"search", {"d2c", "kmeans", "random"}},
      {"seed", {"7", "18446744073709551615"}},
      {"restarts", {"3"}},
      {"perturbations", {"0"}},
      {"max-iterations", {"9"}},
      {"effort", {"quick", "thorough"}},
      {"max-evaluations", {"5000000000"}},
      {"max-hours", {"1.5"}},
      {"allow-empty", {"true"}},
      {"objective", {"gain", "worst"}},
      {"verify-examples", {"2"}},
      {"final-losses", {"all"}},
      {"loss-on", {"all"}},
      {"chat-date", {"2026-02-28"}},
      {"method", {"ties", "medoid"}},
      {"merged-rank", {"8"}},
      {"density", {"0.3"}},
      {"majority-sign-method", {"frequency"}},
      {"merged-dtype", {"f32", "f16", "bf16"}},
      {"scale", {"1.5"}},
      {"refine", {"none"}},
      {"refine-steps", {"12"}},
      {"refine-batch", {"0"}},
      {"refine-variants", {"3"}},
      {"refine-lr", {"0.004"}},
      {"threads", {"6"}},
      {"weights", {"f32", "bf16"}},
      {"compute", {"bf16"}},
      {"device", {"cuda", "auto"}},
      {"ranks-per-gpu", {"2"}},
      {"batch-tokens", {"512"}},
      {"ranks-per-node", {"4"}},
      {"adapters-in", {"memory", "disk"}},
      {"adapter-cache-mib", {"0"}},
      {"exchange-mib", {"1"}},
      {"members-mib", {"0.1"}},
      {"merged-mib", {"64"}},
      {"balance", {"static"}},
      {"output", {"/tmp/out"}},
      {"overwrite", {"true"}},
      {"merged", {"hdf5", "both"}},
      {"checkpoint-minutes", {"0.5"}},
  };
  return values;
}

RunOptions with(const RunOption& row, const std::string& text) {
  RunOptions options;
  const auto problem = row.value.set(options, text);
  EXPECT_FALSE(problem) << row.name << " = " << text << ": " << problem->what;
  return options;
}

std::string refusal(const std::string& name, const std::string& text) {
  for (const RunOption& row : option_table()) {
    if (row.name != name) continue;
    RunOptions options;
    const auto problem = row.value.set(options, text);
    return problem ? problem->line() : "";
  }
  return "no such option";
}

TEST(OptionTable, NamesAreUniqueAndEveryRowIsComplete) {
  std::set<std::string> names;
  for (const RunOption& row : option_table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_FALSE(row.help.empty()) << row.name;
    EXPECT_FALSE(row.group.empty()) << row.name;
    EXPECT_EQ(other_values().count(row.name), 1u) << row.name << " has no values in this test";
  }
  EXPECT_EQ(names.size(), other_values().size());
}

TEST(OptionTable, TheDefaultsOfAllRowsAreTheDefaultOptions) {
  RunOptions options;
  for (const RunOption& row : option_table()) {
    EXPECT_FALSE(row.value.check(options)) << row.name;
    const std::string text = row.value.text(options);
    if (text.empty()) continue;
    EXPECT_FALSE(row.value.set(options, text)) << row.name;
  }
  EXPECT_EQ(to_json(options), to_json(RunOptions{}));
}

TEST(OptionTable, EveryValueIsWrittenAsItWasGivenAndChangesItsOptionAlone) {
  for (const RunOption& row : option_table()) {
    for (const std::string& text : other_values().at(row.name)) {
      const RunOptions options = with(row, text);
      EXPECT_FALSE(row.value.check(options)) << row.name << " = " << text;
      for (const RunOption& other : option_table()) {
        EXPECT_EQ(other.value.text(options),
                  other.name == row.name ? text : other.value.text(RunOptions{}))
            << row.name << " = " << text << ", " << other.name;
      }
    }
  }
}

TEST(OptionTable, RefusesWhatIsNoValue) {
  EXPECT_EQ(refusal("objective", "best"),
            "does not take 'best' (that is none of its values); give one of: loss, gain, worst");
  EXPECT_EQ(refusal("restarts", "0"), "does not take '0' (it is a whole number of at least 1)");
  EXPECT_EQ(refusal("scale", "big"), "does not take 'big' (it is a number above 0)");
  for (const auto& [name, texts] : std::map<std::string, std::vector<std::string>>{
           {"restarts", {"", "many", "3 ", "3.5", "-1", "99999999999"}},
           {"seed", {"-1", "18446744073709551616"}},
           {"exchange-mib", {"0", "-1", "1099511627777"}},
           {"members-mib", {"0", "inf"}},
           {"scale", {"0", "nan", ""}},
           {"allow-empty", {"", "maybe"}},
           {"search", {"", "D2C"}},
           {"method", {"avarage"}},
           {"chat-date", {"2026-02-29", "2026-1-31", "   6-01-31", "-226-01-31", "2026-01-311"}},
           {"K", {"", "0", "x", "5..", "..3", "5..3", "3,", "2.5", "1000001"}}}) {
    for (const std::string& text : texts) EXPECT_NE(refusal(name, text), "") << name << ' ' << text;
  }
}

TEST(OptionsJson, ReadsBackEveryValue) {
  const std::filesystem::path file("results.h5");
  EXPECT_EQ(to_json(options_from_json(to_json({}), file)), to_json({}));
  for (const RunOption& row : option_table()) {
    for (const std::string& text : other_values().at(row.name)) {
      const std::string written = to_json(with(row, text));
      EXPECT_EQ(to_json(options_from_json(written, file)), written) << row.name << " = " << text;
    }
  }
}

TEST(OptionsJson, HasNumbersFlagsAndWordsAsSuch) {
  RunOptions options;
  options.k = 5;
  const json::Json value = json::parse(to_json(options), "results.h5");
  EXPECT_EQ(value.at("K"), 5);
  EXPECT_EQ(value.at("scale"), 1);
  EXPECT_EQ(value.at("search"), "auto");
  EXPECT_EQ(value.at("allow-empty"), false);
  EXPECT_EQ(value.at("budget-mb"), 0);
}

/// What options_from_json() says of the default options with one of them changed.
void expect_refused(const std::string& name, const json::Json& value,
                    const std::vector<std::string>& words) {
  json::Json config = json::Json::parse(to_json({}));
  if (value.is_discarded()) {
    config.erase(name);
  } else {
    config[name] = value;
  }
  try {
    (void)options_from_json(config.dump(), "results.h5");
    ADD_FAILURE() << name << " = " << value.dump() << " is taken";
  } catch (const InputError& error) {
    for (const std::string& word : words) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }
}

TEST(OptionsJson, RefusesUnknownNamesWordsAndForms) {
  expect_refused("saerch", "auto", {"results.h5", "'saerch'"});
  expect_refused("search", json::Json(json::Json::value_t::discarded), {"results.h5", "'search'"});
  expect_refused("objective", "best", {"results.h5: objective", "'best'"});
  expect_refused("loss-on", "prompt", {"results.h5: loss-on", "'prompt'", "response, all"});
  expect_refused("majority-sign-method", "most", {"majority-sign-method", "'most'"});
  expect_refused("weights", "f64", {"weights", "'f64'"});
  expect_refused("compute", "f16", {"compute", "'f16'"});
  expect_refused("merged", "all", {"merged", "'all'"});
  expect_refused("merged-dtype", "F32", {"merged-dtype", "'F32'"});
  expect_refused("adapters-in", "cloud", {"adapters-in", "'cloud'"});
  expect_refused("restarts", "3", {"results.h5: restarts", "\"3\"", "whole number"});
  expect_refused("restarts", 3.5, {"restarts", "3.5", "whole number"});
  expect_refused("restarts", 0, {"restarts", "'0'", "at least 1"});
  expect_refused("max-hours", true, {"max-hours", "true", "a number"});
  expect_refused("allow-empty", 1, {"allow-empty", "true or false"});
  expect_refused("search", nullptr, {"search", "null", "a string"});
  expect_refused("K", json::Json::array({3, 5}), {"results.h5: K", "[3,5]"});
  D2C_EXPECT_ERROR((void)options_from_json("[]", "results.h5"), InputError, "results.h5: config");
  D2C_EXPECT_ERROR((void)options_from_json("{", "results.h5"), InputError, "results.h5");
}

TEST(Identity, ChangesWithEveryOptionThatDecidesNumbersAndWithNoOther) {
  const std::string before = identity_json({});
  for (const RunOption& row : option_table()) {
    for (const std::string& text : other_values().at(row.name)) {
      EXPECT_EQ(identity_json(with(row, text)) != before, row.has(traits::decides_numbers))
          << row.name << " = " << text;
    }
  }
}

TEST(Identity, IsMadeOfTheseOptions) {
  std::set<std::string> decides;
  for (const RunOption& row : option_table()) {
    if (row.has(traits::decides_numbers)) decides.insert(row.name);
  }
  EXPECT_EQ(decides, (std::set<std::string>{"placed",          "K",
                                            "budget-mb",       "min-cluster-size",
                                            "search",          "seed",
                                            "restarts",        "max-cluster-size",
                                            "perturbations",   "max-iterations",
                                            "max-evaluations", "allow-empty",
                                            "objective",       "verify-examples",
                                            "loss-on",         "chat-date",
                                            "method",          "merged-rank",
                                            "density",         "majority-sign-method",
                                            "merged-dtype",    "scale",
                                            "effort",          "refine",
                                            "refine-steps",    "refine-lr",
                                            "refine-batch",    "refine-variants",
                                            "weights",         "compute",
                                            "device",          "batch-tokens"}));
}

TEST(Spending, IsWhatTheEffortSaysUnlessOptionsSayIt) {
  RunOptions options;
  EXPECT_EQ(spending(options, 40).evaluations, 1400);
  EXPECT_EQ(spending(options, 40).steps, 150);
  EXPECT_EQ(spending(options, 40).variants, 7);
  options.effort = Effort::quick;
  EXPECT_EQ(spending(options, 40).evaluations, 360);
  options.effort = Effort::thorough;
  EXPECT_EQ(spending(options, 40).evaluations, 5600);
  EXPECT_EQ(spending(options, 40).steps, 500);
  EXPECT_EQ(spending(options, 40).variants, 31);
  options.max_evaluations = 7;
  options.refine_steps = 9;
  options.refine_variants = 2;
  EXPECT_EQ(spending(options, 40).evaluations, 7);
  EXPECT_EQ(spending(options, 40).steps, 9);
  EXPECT_EQ(spending(options, 40).variants, 2);
  options.refinement = Refinement::none;
  EXPECT_EQ(spending(options, 40).steps, 0);
  RunOptions other;
  other.search = "d2c";
  EXPECT_EQ(spending(other, 40).evaluations, 0);
}

TEST(Identity, HasALineForEachOption) {
  RunOptions options;
  options.k = 5;
  EXPECT_NE(identity_json(options).find("\n \"K\": 5,\n \"budget-mb\": 0,\n"), std::string::npos)
      << identity_json(options);
}

TEST(ClusterCounts, AreListsAndRanges) {
  EXPECT_EQ(parse_counts("5"), (std::vector<int>{5}));
  EXPECT_EQ(parse_counts("8,3,5,3"), (std::vector<int>{3, 5, 8}));
  EXPECT_EQ(parse_counts("2..4,9"), (std::vector<int>{2, 3, 4, 9}));
  EXPECT_EQ(counts_text({2, 3, 4, 9}), "2..4,9");
  EXPECT_EQ(counts_text({2, 3}), "2,3");
  EXPECT_EQ(counts_text({1}), "1");
}

}  // namespace
}  // namespace d2c::job
