# What `cmake --install` puts beside the program, and the package of `cpack`.
#
# share/d2c has the layout of the source tree, so that links of the documents and the paths of the
# scripts hold. Nothing that is installed knows the prefix.

install(FILES README.md CHANGELOG.md CONTRIBUTING.md CITATION.cff LICENSE DESTINATION share/d2c)
install(DIRECTORY docs jobs data DESTINATION share/d2c)
install(DIRECTORY scripts DESTINATION share/d2c USE_SOURCE_PERMISSIONS
        PATTERN "__pycache__" EXCLUDE
        # These build and test the source tree.
        PATTERN "build.sh" EXCLUDE PATTERN "demo.sh" EXCLUDE PATTERN "test.sh" EXCLUDE
        PATTERN "lint.sh" EXCLUDE PATTERN "install-packages.sh" EXCLUDE)
install(FILES LICENSE DESTINATION share/doc/d2c RENAME copyright)

# The manual page and the completion come from the program itself.
install(CODE "
  execute_process(COMMAND \"$<TARGET_FILE:d2c>\" help --man
                  OUTPUT_FILE \"${PROJECT_BINARY_DIR}/d2c.1\" COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND \"$<TARGET_FILE:d2c>\" help --completion bash
                  OUTPUT_FILE \"${PROJECT_BINARY_DIR}/d2c.bash\" COMMAND_ERROR_IS_FATAL ANY)")
install(FILES "${PROJECT_BINARY_DIR}/d2c.1" DESTINATION share/man/man1)
install(FILES "${PROJECT_BINARY_DIR}/d2c.bash" DESTINATION share/bash-completion/completions RENAME d2c)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The d2c developers")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3, python3-h5py, python3-jinja2, python3-matplotlib, python3-numpy")
include(CPack)
