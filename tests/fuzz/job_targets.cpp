// What a job is told, and the notes that it leaves for the next one.
#include <span>

#include <fmt/format.h>

#include "d2c/core/checksum.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/eval/manifest.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/results/library.hpp"

#include "command_line.hpp"
#include "generate/predictions_file.hpp"
#include "input.hpp"
#include "input/constraints.hpp"
#include "job_options.hpp"
#include "output/output_folder.hpp"
#include "pack/journal.hpp"
#include "test_support.hpp"

namespace d2c::fuzz {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> manifests() {
  return {
      read_text(d2c::test::source("data/demo/manifest.json")),
      R"({"model":"m","library":"l.h5","tasks":[{"name":"a","adapter":"x","examples":"a.jsonl",)"
      R"("test":"t.jsonl","weight":2.5},{"name":"b","adapter":"y","examples":"b.jsonl"}]})"};
}

void read_manifest(const Input& input) {
  static_cast<void>(
      eval::to_json(eval::parse_manifest(std::string(input.text()), "folder/manifest.json")));
}

void read_constraints(const Input& input) {
  static const auto manifest = [] {
    eval::Manifest made;
    for (const char* name : {"a", "b", "c", "d"}) made.tasks.push_back({name, name, name, {}, 1.0});
    return made;
  }();
  const std::vector<std::string> left_out{"e"};
  static_cast<void>(
      job::parse_constraints(std::string(input.text()), "constraints.json", manifest, left_out));
}

void read_ini(const Input& input) {
  job::RunOptions options;
  cli::CommandLine line{.usage = "d2c run MANIFEST",
                        .description = "",
                        .positional = "manifest",
                        .required = {"manifest", "output"},
                        .has_config = true};
  cli::add_job_options(line, job::traits::run, options);
  static_cast<void>(
      cli::parse(line, {.args = {"m", "--output", "o", "--config", input.file("job.ini").string()},
                        .command_line = "d2c run"}));
  job::validate(options);
}

void read_options(const Input& input) {
  job::validate(job::options_from_json(std::string(input.text()), "results.h5"));
}

std::vector<std::string> options() {
  job::RunOptions some;
  some.manifest = "m";
  some.output = "o";
  some.k = 3;
  return {job::to_json(some)};
}

void read_note(const Input& input) {
  const fs::path folder = Input::empty_folder();
  write(folder / "d2c-publishing.json", input.text());
  write(folder / "results.h5.h-1-2-3-1.partial", "new");
  write(folder / "manifest.json.h-1-2-3-2c.partial", "new");
  fs::create_directory(folder / "merged.h-1-2-3-0a.partial");
  fs::create_directory(folder / "merged");
  job::finish_publishing(folder);
}

void read_predictions(const Input& input) {
  const fs::path unfinished = input.file("predictions.jsonl.unfinished");
  fs::path place = unfinished;
  place.replace_extension();
  static_cast<void>(job::PredictionsFile(place, false, {{"--seed", "1"}}, 3).resume());
}

/// The lines behind the first one, each of which gets the checksum that it should have.
void read_journal(const Input& input) {
  std::string journal;
  const auto add = [&](std::string_view line) {
    journal += fmt::format("{:08x} {}\n", crc32(std::as_bytes(std::span(line))), line);
  };
  add(fmt::format(R"({{"format":"d2c-pack-journal","version":1,"data_begin":{}}})",
                  results::library_data_begin()));
  const std::string_view text = input.text();
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    add(text.substr(begin, end - begin));
    begin = end + 1;
  }
  const tools::PackJournal read(Input(journal).file("library.journal"),
                                tools::PackJournal::Start::go_on);
  static_cast<void>(read.index());
}

}  // namespace

std::vector<Target> job_targets() {
  return {
      {"manifest", true, read_manifest, manifests},
      {"constraints", true, read_constraints,
       [] {
         return std::vector<std::string>{
             R"({"together":[["a","b"],["c","e"]],"apart":[["a","c"]]})",
             R"({"apart":[["a","b","c","d"]]})"};
       }},
      {"ini", true, read_ini,
       [] {
         return std::vector<std::string>{
             "# a job\nK = 3\nsearch = kmeans\nmethod = average\nthreads = 2\nseed = 7\n"
             "max-hours = 1.5\noverwrite = true\n"};
       }},
      {"options", true, read_options, options},
      {"publishing_note", true, read_note,
       [] {
         return std::vector<std::string>{
             R"({"results":"results.h5.h-1-2-3-1.partial","merged":"merged.h-1-2-3-0a.partial",)"
             R"("old_merged":"merged.old","texts":["manifest.json.h-1-2-3-2c.partial"]})",
             R"({"results":"results.h5.h-1-2-3-1.partial","merged":null,"old_merged":"merged.old.1",)"
             R"("texts":[]})"};
       }},
      {"predictions", true, read_predictions,
       [] {
         return std::vector<std::string>{
             "{\"identity\":{\"--seed\":\"1\"}}\n"
             "{\"piece\":0,\"lines\":\"x\\n\"}\n"
             "{\"piece\":2,\"lines\":\"y\\n\"}\n"};
       }},
      {"pack_journal", true, read_journal, [] {
         return std::vector<std::string>{
             R"({"module":"model.layers.0.self_attn.q_proj","d_out":64,"d_in":32})"
             "\n"
             R"({"name":"a","source":"adapters/a","stamp":"1","base_model":"","dtype":"F16",)"
             R"("record":[0,100,128,3000,77],"fingerprint":18446744073709551615,"ranks":[[0,4]]})"};
       }}};
}

}  // namespace d2c::fuzz
