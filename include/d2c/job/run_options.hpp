#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "d2c/cluster/objective.hpp"
#include "d2c/comm/work_queues.hpp"
#include "d2c/eval/batch.hpp"
#include "d2c/eval/device.hpp"
#include "d2c/merge/merge.hpp"
#include "d2c/model/weights.hpp"
#include "d2c/tensor/dtype.hpp"

namespace d2c::job {

/// Where the merged adapters go.
enum class MergedOutput { peft, hdf5, both };

/// What is done for the merged adapters of the clusters after the search.
enum class Refinement { none, distill };

/// What is done about an adapter that cannot be used: missing, damaged, not finite, of another
/// model.
enum class OnBadAdapter { fail, skip };

/// Where a rank keeps the factors of its adapters between uses.
enum class AdaptersIn {
  memory,
  disk,       ///< read again from folder or library when they are wanted
  automatic,  ///< memory if they fit on every host
};

/// Which losses of the result are measured.
enum class FinalLosses {
  own,  ///< of every task under its own cluster; others as far as the search has asked for them
  all,  ///< of every task under every cluster
};

/// Besides the methods of `merge`: each cluster gets the one of its adapters that serves it best.
inline constexpr std::string_view medoid_method = "medoid";

/// What a job may spend where nothing else says it, see spending().
enum class Effort { quick, usual, thorough };

/// Everything that decides what a job does, with its defaults. The option table (option_table.hpp)
/// says how each member is called by users; validate() checks what depends on several of them.
struct RunOptions {
  std::filesystem::path manifest;                    ///< file, or folder by convention
  OnBadAdapter on_bad_adapter = OnBadAdapter::fail;  ///< skip: its tasks are left out
  std::filesystem::path output;                      ///< folder; made if absent
  bool overwrite = false;  ///< replace an earlier job's results in `output`

  int k = 0;               ///< clusters at most; the largest of `ks` where there are some
  std::vector<int> ks;     ///< numbers of clusters to try, ascending; empty = k alone
  int placed = 0;          ///< tasks that had a cluster before (add_tasks); the first ones
  int sweep_pick = 0;      ///< the one of `ks` that is the result; 0 = the knee of the curve
  double budget_mb = 0.0;  ///< room for merged adapters, 10^6 bytes, that decides k; 0 = k is given
  std::filesystem::path constraints;  ///< JSON file: tasks together or apart; empty = none
  int min_cluster_size = 1;           ///< tasks
  int max_cluster_size = 0;           ///< tasks; 0 = no limit
  std::string search = "auto";
  std::uint64_t seed = 0;
  int restarts = 10;
  int max_iterations = 50;
  int perturbations = 5;  ///< of the search `auto`: it ends when so many in a row led to nothing
  bool allow_empty = false;
  Effort effort = Effort::usual;
  std::int64_t max_evaluations = 0;  ///< 0 = as the effort says
  double max_hours = 0.0;            ///< of searching; 0 = no limit
  cluster::ObjectiveKind objective = cluster::ObjectiveKind::loss;
  FinalLosses final_losses = FinalLosses::own;
  int verify_examples = 0;  ///< few-shot examples per task that the search does not see

  std::string merge_method = "average";
  merge::Options merge;
  double scale = 1.0;  ///< factor on merged updates
  Refinement refinement = Refinement::distill;
  int refine_steps = 0;      ///< of the optimiser; 0 = as the effort says
  int refine_batch = 2;      ///< examples of each task that a step learns; 0 = all
  int refine_variants = 0;   ///< of each example that are learnt; 0 = as the effort says
  double refine_rate = 0.0;  ///< learning rate of the first step; 0 = by the size of the factors

  eval::LossOn loss_on = eval::LossOn::response;
  std::string chat_date;      ///< YYYY-MM-DD, for chat templates that ask for today; empty = refuse
  Index batch_tokens = 2048;  ///< distinct tokens per forward pass
  model::WeightChoice weights = model::WeightChoice::automatic;  ///< of the base model
  ops::Arithmetic compute = ops::Arithmetic::f32;                ///< of products with them
  eval::Device device = eval::Device::cpu;                       ///< that computes losses
  int ranks_per_gpu = 1;                                         ///< at most

  double checkpoint_minutes = 1.0;  ///< between checkpoints; 0 = only when a signal stops the job
  MergedOutput merged_output = MergedOutput::peft;
  std::optional<DType> merged_dtype;  ///< unset = as the adapters were stored

  int threads = 1;         ///< per rank
  int ranks_per_node = 0;  ///< ranks that share one copy of the base weights; 0 = a node's
  AdaptersIn adapters_in = AdaptersIn::automatic;
  std::uint64_t adapter_cache_mib = 256;  ///< of factors read again from the disk, per rank
  std::uint64_t exchange_mib = 256;       ///< cap on factors in flight, per rank
  /// Cap on the factors of one module, where a merge method needs those of all members at a time.
  double members_mib = 4096;
  std::uint64_t merged_mib = 512;  ///< cap on merged adapters held at a time, per node
  comm::Balance balance = comm::Balance::dynamic;  ///< of evaluations between ranks
};

/// Checks what can be checked without reading input. @throws UsageError naming the option
void validate(const RunOptions& options);
/// The same for a job that writes nothing.
void validate_search(const RunOptions& options);

/// What a job spends at most.
struct Spending {
  std::int64_t evaluations = 0;  ///< of the search; 0 = no limit
  int steps = 0;                 ///< of the optimiser
  int variants = 0;              ///< of each example that are learnt
};
[[nodiscard]] Spending spending(const RunOptions& options, int n_tasks);

/// All options as a JSON object in the order of the option table: names and values are those of
/// the command line.
[[nodiscard]] std::string to_json(const RunOptions& options);

/// Those that decide numbers, likewise; each stands in a line of its own.
[[nodiscard]] std::string identity_json(const RunOptions& options);

/// The inverse of to_json().
/// @param file  where the text is from, for messages
/// @throws InputError naming file and option if one is missing, unknown or has an unknown value
[[nodiscard]] RunOptions options_from_json(const std::string& text,
                                           const std::filesystem::path& file);

}  // namespace d2c::job
