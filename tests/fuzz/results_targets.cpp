// HDF5 files. They come without their seal, which is put on: what a checksum keeps out cannot be
// told to be safe.
#include <algorithm>
#include <charconv>
#include <optional>

#include "d2c/core/input_file.hpp"
#include "d2c/results/checkpoint.hpp"
#include "d2c/results/library.hpp"
#include "d2c/results/reader.hpp"
#include "d2c/results/summary.hpp"

#include "example_run.hpp"
#include "files/seal.hpp"
#include "input.hpp"

namespace d2c::fuzz {
namespace {

namespace fs = std::filesystem;

std::string without_seal(const fs::path& file) {
  std::string content = read_text(file);
  content.resize(content.rfind("\nd2c crc32 "));
  return content;
}

fs::path sealed(const Input& input, const std::string& name,
                std::optional<results::Hole> hole = std::nullopt) {
  const fs::path file = input.file(name);
  write(file, std::string(input.text()) + results::seal_line(file, hole));
  return file;
}

std::vector<std::string> checkpoints() {
  const fs::path file = Input::empty_folder() / "checkpoint.h5";
  results::write_checkpoint(
      file, {{"--seed", "1"}, {"examples of task 'Ü'", "0123456789abcdef"}},
      {{{"base", "few_shot 1+1", {}, {}}, {{TaskId(0), TaskId(1)}, {1.5, 2.5, 0.5, 0.25}}},
       {{"average", "few_shot 1+1", {AdapterId(0), AdapterId(2)}, {0.25, 0.75}},
        {{TaskId(0), TaskId(1)}, {1.5, 1.25, 0.1, 0.2}}},
       {{"average", "held_out", {AdapterId(0), AdapterId(2)}, {0.25, 0.75}, 2.0},
        {{TaskId(2)}, {0.125}}}});
  return {without_seal(file)};
}

void read_checkpoint(const Input& input) {
  static_cast<void>(results::read_checkpoint(sealed(input, "checkpoint.h5")));
}

std::vector<std::string> results_files() {
  const fs::path file = Input::empty_folder() / "results.h5";
  results::test::write_example(file);
  return {without_seal(file)};
}

void read_results(const Input& input) {
  const fs::path file = sealed(input, "results.h5");
  static_cast<void>(results::read_config(file));
  static_cast<void>(results::print_summary(results::read_results(file)));
}

constexpr std::size_t adapter_bytes = 4096;
constexpr std::size_t n_adapters = 2;

/// HDF5's part of a library, whose adapters are left out.
std::vector<std::string> libraries() {
  const fs::path file = Input::empty_folder() / "library.h5";
  results::LibraryIndex index;
  index.version = "0.1.0";
  index.created_utc = "2026-01-02T03:04:05Z";
  index.module = {"model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"};
  index.d_out = {64, 64};
  index.d_in = {32, 32};
  for (std::size_t i = 0; i < n_adapters; ++i) {
    index.name.push_back("adapter-" + std::to_string(i));
    index.source.push_back("somewhere/adapter-" + std::to_string(i));
    index.base_model.emplace_back("größer");
    index.dtype.emplace_back("BF16");
    index.begin.push_back(adapter_bytes * i);
    index.config_bytes.push_back(100);
    index.tensors_begin.push_back(128);
    index.tensors_bytes.push_back(3000);
    index.checksum.push_back(i);
    index.fingerprint.push_back(i);
    index.rank.insert(index.rank.end(), {4, 8});
  }
  index.data_begin = results::library_data_begin();
  index.data_bytes = adapter_bytes * n_adapters;
  write(file, std::string(index.data_begin + index.data_bytes, '\0'));
  {
    const WritableFile library(file);
    results::finish_library(library, index);
  }
  return {without_seal(file).erase(index.data_begin, index.data_bytes)};
}

void read_library(const Input& input) {
  const std::size_t begin =
      std::min<std::size_t>(results::library_data_begin(), input.text().size());
  std::string whole(input.text());
  whole.insert(begin, adapter_bytes * n_adapters, '\0');
  const results::Hole hole{begin, begin + adapter_bytes * n_adapters};
  static_cast<void>(results::read_library(sealed(Input(whole), "library.h5", hole)));
}

}  // namespace

std::vector<Target> results_targets() {
  return {{"checkpoint", false, read_checkpoint, checkpoints},
          {"results", false, read_results, results_files},
          {"library", false, read_library, libraries}};
}

}  // namespace d2c::fuzz
