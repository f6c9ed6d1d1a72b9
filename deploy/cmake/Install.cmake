# What `cmake --install build --prefix DIR` puts into a prefix, and `cpack -G DEB` into a package. LibTorch and what it
# needs beside itself lie in a folder of our own, found from the program's place; all else comes from Debian's packages.
# To try: cmake --install build --prefix /tmp/hetmoe && /tmp/hetmoe/bin/hetmoe doctor
set(private_folder lib/hetmoe)
set_target_properties(hetmoe PROPERTIES INSTALL_RPATH "\$ORIGIN/../${private_folder}")
install(TARGETS hetmoe hetmoe-sentencepiece RUNTIME DESTINATION bin)

set(cuda_runtime_folder ${site_packages}/nvidia/cu13/lib)
set(private_libraries ${HETMOE_TORCH_ROOT}/lib/libtorch_cpu.so ${HETMOE_TORCH_ROOT}/lib/libc10.so
  ${HETMOE_TORCH_ROOT}/lib/libgomp.so.1 ${cuda_runtime_folder}/libcudart.so.13 ${cuda_runtime_folder}/libcupti.so.13)
if(HETMOE_CUDA)
  # 4 GB of libraries that find one another by Python's folders.
  install(CODE "message(FATAL_ERROR \"installing is for builds without CUDA; one for GPUs runs from its tree\")")
endif()
install(FILES ${private_libraries} DESTINATION ${private_folder})

install(DIRECTORY configs DESTINATION share/hetmoe)
install(DIRECTORY deploy/slurm deploy/prometheus deploy/grafana deploy/tensorboard DESTINATION share/hetmoe/deploy
  USE_SOURCE_PERMISSIONS PATTERN __pycache__ EXCLUDE)
install(FILES README.md CHANGELOG.md DESTINATION share/doc/hetmoe)

# Made by the program that is installed.
install(CODE "
  foreach(shell IN ITEMS bash zsh fish)
    execute_process(COMMAND \"$<TARGET_FILE:hetmoe>\" completion \${shell}
      OUTPUT_FILE \"${CMAKE_BINARY_DIR}/completion.\${shell}\" COMMAND_ERROR_IS_FATAL ANY)
  endforeach()")
install(FILES ${CMAKE_BINARY_DIR}/completion.bash DESTINATION share/bash-completion/completions RENAME hetmoe)
install(FILES ${CMAKE_BINARY_DIR}/completion.zsh DESTINATION share/zsh/vendor-completions RENAME _hetmoe)
install(FILES ${CMAKE_BINARY_DIR}/completion.fish DESTINATION share/fish/vendor_completions.d RENAME hetmoe.fish)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME hetmoe)
set(CPACK_PACKAGE_VENDOR hetmoe)
set(CPACK_PACKAGE_CONTACT "the hetmoe project")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
  WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin, python3")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "dict-gcide, prometheus, slurm-client")
# Debian's libraries are found by what is linked; ours are named as ours.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${HETMOE_TORCH_ROOT}/lib ${cuda_runtime_folder})
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)  # xz takes minutes for a tenth less
include(CPack)
