#pragma once

#include <string>
#include <string_view>

/// Which process a temporary file or a lock belongs to.
namespace d2c {

/// HOST-PID-START-SPACE of this process: START in the system's ticks, SPACE of the boot and the
/// namespace in which the numbers of processes hold.
[[nodiscard]] const std::string& own_tag();

/// Whether the text has the form of own_tag().
[[nodiscard]] bool is_tag(std::string_view text);

/// Whether it is certain that the process has ended, and that it is another one that lives. Of
/// another host, boot or container neither is.
[[nodiscard]] bool is_dead(std::string_view tag);
[[nodiscard]] bool is_alive(std::string_view tag);

/// The parts of a tag, for messages: "process PID on HOST".
[[nodiscard]] std::string describe_owner(std::string_view tag);

}  // namespace d2c
