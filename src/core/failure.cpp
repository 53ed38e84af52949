#include "d2c/core/failure.hpp"

#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "d2c/core/activity.hpp"
#include "d2c/core/readable.hpp"

namespace d2c {
namespace {

Failure out_of_memory() {
  return {ExitCode::failure,
          fmt::format("out of memory{} (what is needed does not fit); give the job more memory, "
                      "fewer ranks per node or smaller inputs",
                      Activity::at_failure())};
}

Failure bug(const char* what) {
  return {ExitCode::failure,
          fmt::format("internal error{}: {} (a bug of d2c); report it with the command line",
                      Activity::at_failure(), readable(what))};
}

}  // namespace

Failure current_failure() {
  constexpr int text_is_no_utf8 = 316;
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::length_error&) {  // of a container that no memory can hold
    return out_of_memory();
  } catch (const std::filesystem::filesystem_error& error) {
    return {ExitCode::bad_input,
            IoError({error.path1()}, {"cannot be used", "", "check the path and its permissions"},
                    error.code().message())
                .what()};
  } catch (const std::system_error& error) {
    return {ExitCode::failure,
            fmt::format("the system gives no thread or lock{}: {}; check the limits of the process",
                        Activity::at_failure(), readable(error.code().message()))};
  } catch (const nlohmann::json::exception& error) {
    if (error.id != text_is_no_utf8) return bug("a value of JSON is used as another kind");
    return {ExitCode::bad_input,
            "a name or path is not valid UTF-8 (it cannot be written as JSON); rename the file"};
  } catch (const std::exception& error) {
    return bug(error.what());
  } catch (...) {
    return bug("an unknown exception");
  }
}

}  // namespace d2c
