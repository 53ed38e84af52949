# cmake -D SOURCE_DIR=... -D D2C_VERSION=... -D TEMPLATE=... -D OUTPUT=... -P WriteVersion.cmake
#
# Run at every build, so that a binary names the commit that it was built from.
execute_process(COMMAND git -C "${SOURCE_DIR}" describe --always --dirty --abbrev=12
                OUTPUT_VARIABLE D2C_GIT_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
configure_file("${TEMPLATE}" "${OUTPUT}" @ONLY)
