#pragma once

#include <optional>
#include <string>
#include <vector>

#include "d2c/cluster/search.hpp"
#include "d2c/cluster/sweep.hpp"
#include "d2c/results/run_results.hpp"

#include "losses/method_losses.hpp"
#include "losses/recorded_losses.hpp"
#include "output/merged_writer.hpp"
#include "output/result_files.hpp"
#include "report/progress_log.hpp"
#include "session/session.hpp"

namespace d2c::job {

/// The stages in which a session makes a result, in the order of its members; search() or place().
/// Each is collective and ends the job by Stopped when a signal comes.
class ResultStages {
 public:
  /// Measures the baselines of the search.
  explicit ResultStages(Session& session);

  /// Searches the clusters as the options ask.
  void search();
  /// Adds the tasks that have no cluster to those that exist.
  /// @param clusters  of every task; cluster::unplaced = none yet
  /// @throws as check_recorded()
  void place(const cluster::Assignment& clusters, const RecordedLosses& recorded);
  /// Measures what the search has found on the test split, and the random baseline.
  void measure();
  /// Refines the merged adapters of the clusters, if the options ask for it.
  void refine();
  /// Searches all clusters anew, as if no task had one, and adds the baseline `full`.
  void compare_full();
  /// Merges the clusters once more, writes everything and puts it in place.
  /// @param manifest  text of a manifest to be written beside the result, on rank 0
  [[nodiscard]] results::RunResults write(ResultFiles& files, const std::string& manifest);

 private:
  [[nodiscard]] cluster::Problem problem(cluster::CachedOracle& cache);
  void distil();
  void report_losers(const std::vector<TaskId>& tasks) const;
  void publish(ResultFiles& files, const std::string& manifest);

  Session& session_;
  MethodLosses losses_;
  ProgressLog progress_;
  std::optional<cluster::Sweep> sweep_;
  cluster::SearchResult found_;
  cluster::Partition partition_;      ///< of the result
  std::vector<MergeConfig> configs_;  ///< of its clusters that are not empty
  std::vector<WrittenAdapter> written_;
  results::RunResults out_;
};

}  // namespace d2c::job
