#pragma once

#include <string>

#include "d2c/job/run_options.hpp"
#include "d2c/results/checkpoint.hpp"
#include "d2c/safetensors/sharded_reader.hpp"

#include "input/job.hpp"

namespace d2c::job {

/// What decides the numbers of a job: options, and the content of every input. How a path is
/// spelled, and where a file lies, is no part of it.
/// @param job  on a rank that has it all
[[nodiscard]] results::Identity identity_of(const RunOptions& options, const Job& job);

/// Hash of all parts, 16 hexadecimal digits.
[[nodiscard]] std::string hash_of(const results::Identity& identity);

/// What differs, for people: "the examples of task 'x' have changed, --seed was 0 and is 1". Empty
/// where nothing does.
[[nodiscard]] std::string differences(const results::Identity& before,
                                      const results::Identity& now);

/// Digest of the weights of a model folder: of the content of small files; of the header, the size
/// and the time of change of large ones. @throws InputError
[[nodiscard]] std::string digest_of(const safetensors::ShardedReader& weights);

}  // namespace d2c::job
