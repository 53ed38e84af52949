#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "d2c/job/compare_methods.hpp"
#include "d2c/results/comparison.hpp"

#include "losses/method_losses.hpp"
#include "session/session.hpp"

namespace d2c::job {

/// Compares the searches of one merge method. Members are collective.
class MethodComparison {
 public:
  /// @param method  options of the session, with the method
  /// @param out     gets the rows
  MethodComparison(Session& session, const CompareOptions& options, const RunOptions& method,
                   results::Comparison& out);

  /// Adds the rows that are the same for every method.
  void add_references();
  /// Adds the rows of all searches for all numbers of clusters.
  void run();

 private:
  /// The losses of one way to serve the tasks, and what it took to find it.
  struct Outcome {
    PartLosses losses;
    std::int64_t evaluations = 0;
    std::int64_t measured = 0;
    double seconds = 0.0;
  };

  [[nodiscard]] Outcome baseline(const std::string& name) const;
  void search_all_seeds(const std::string& search, int k);
  [[nodiscard]] Outcome refined(const cluster::Partition& partition, const Outcome& found_as);
  /// One outcome stands for all seeds.
  void add(const std::string& method, const std::string& search, int k,
           const std::vector<Outcome>& outcomes);

  Session& session_;
  const CompareOptions& options_;
  MethodLosses losses_;
  results::Comparison& out_;
  std::vector<cluster::CachedOracle::Entry> known_;
  std::map<cluster::Assignment, Outcome> refined_of_;  ///< evaluations: those of the refinement
};

}  // namespace d2c::job
