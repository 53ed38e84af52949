#pragma once

#include "d2c/job/run_options.hpp"

#include "command_line.hpp"

namespace d2c::cli {

/// The options that `run` and `plan` share: clusters, merging, machine.
[[nodiscard]] std::vector<po::options_description> job_option_groups();
/// Those of racing, which `run` and `plan` take; others parse them only to refuse them.
[[nodiscard]] po::options_description racing_option_group();
/// Refuses an option of `run` that another command knows only to say why it does not take it.
/// @throws UsageError if it is given
void refuse_option(const po::variables_map& values, const std::string& option,
                   const std::string& why, const std::string& fix);
/// All options of racing. @throws UsageError if one is given
void refuse_racing(const po::variables_map& values);
/// @throws UsageError
void read_racing(const po::variables_map& values, job::RunOptions& options);
/// @throws UsageError naming the option
[[nodiscard]] job::RunOptions job_options(const po::variables_map& values);

/// The options of merging, shared with `merge`.
/// @param more_methods  known to the job only, for the help text
void add_merge_options(po::options_description& group, const std::string& default_method,
                       const std::string& more_methods = "");
[[nodiscard]] merge::Options merge_options(const po::variables_map& values);
/// "source" gives nothing. @throws UsageError
[[nodiscard]] std::optional<DType> merged_dtype(const po::variables_map& values);

/// --weights, shared with `evaluate` and `bench`.
inline constexpr const char* kWeightsHelp =
    "how the base model's matrices lie in memory: f32; bf16, in half of it, which rounds unless "
    "the "
    "files are BF16; auto = bf16 where nothing is lost";
/// --compute, likewise.
inline constexpr const char* kComputeHelp =
    "arithmetic of products with the base model's matrices: f32; bf16, 1.3 to 1.9 times as fast, "
    "which rounds activations to BF16 and needs BF16 weights and a processor with AVX512_BF16. "
    "Sums, "
    "adapters and losses are float32 either way";
[[nodiscard]] model::Precision precision(const po::variables_map& values);

/// Threads per rank unless told otherwise: OMP_NUM_THREADS, else SLURM_CPUS_PER_TASK, else 1.
[[nodiscard]] int default_threads();
/// The first rank warns where they outnumber its processors.
void warn_of_threads(int n);

}  // namespace d2c::cli
