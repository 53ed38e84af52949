#include "generate/predictions_file.hpp"

#include <sstream>
#include <system_error>
#include <utility>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/core/pending.hpp"

#include "input/identity.hpp"

namespace d2c::job {

namespace fs = std::filesystem;

PredictionsFile::PredictionsFile(fs::path place, bool overwrite, results::Identity identity,
                                 std::size_t n_pieces)
    : place_(std::move(place)), identity_(std::move(identity)), lines_(n_pieces) {
  expect_place_for_text(place_);
  const bool is_device = fs::exists(place_) && !fs::is_regular_file(place_);
  if (!is_device) expect_place_for_text(unfinished());
  if (!overwrite && fs::is_regular_file(place_)) {
    throw InputError({place_, {}}, {"exists already", "predictions are not overwritten unasked",
                                    "choose another --output or add --overwrite"});
  }
}

std::vector<std::size_t> PredictionsFile::resume() {
  if (!fs::exists(unfinished())) return {};
  std::istringstream text(json::read_text(unfinished()));
  std::vector<std::size_t> done;
  try {
    std::string line;
    std::getline(text, line);
    const auto identity = json::Json::parse(line).at("identity").get<results::Identity>();
    if (const std::string change = differences(identity, identity_); !change.empty()) {
      throw InputError({unfinished(), {}},
                       {"is of another job: " + change, "its texts cannot be mixed with new ones",
                        "restore what has changed, choose another --output, or remove the file"});
    }
    while (std::getline(text, line)) {
      const json::Json piece = json::Json::parse(line);
      done.push_back(static_cast<std::size_t>(json::integer(piece.at("piece")).value()));
      lines_.at(done.back()) = piece.at("lines").get<std::string>();
    }
  } catch (const std::exception& error) {
    if (dynamic_cast<const Error*>(&error) != nullptr) throw;
    throw InputError({unfinished(), {}}, {"is damaged", "the job that left it cannot go on",
                                          "remove the file and start again"});
  }
  return done;
}

void PredictionsFile::save() const {
  std::string text = json::Json{{"identity", identity_}}.dump() + "\n";
  for (std::size_t piece = 0; piece < lines_.size(); ++piece) {
    if (!lines_[piece]) continue;
    text += json::Json{{"piece", piece}, {"lines", *lines_[piece]}}.dump() + "\n";
  }
  write_text(unfinished(), text);
}

void PredictionsFile::publish() const {
  std::string text;
  for (const auto& lines : lines_) text += lines.value();
  write_text(place_, text);
  std::error_code ignored;
  fs::remove(unfinished(), ignored);
}

}  // namespace d2c::job
