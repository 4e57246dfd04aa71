# `cmake --install`: the program, the library with its headers and an exported target, and the copy of
# LibTorch that both need. The result works without this source tree and can be moved as a whole.
#   find_package(switchyard REQUIRED)
#   target_link_libraries(my_program PRIVATE switchyard::switchyard)
include(CMakePackageConfigHelpers)
set(config_dir lib/cmake/switchyard)

# switchyard::base, switchyard::model, ... and all of them as switchyard::switchyard.
get_property(libraries GLOBAL PROPERTY SWITCHYARD_LIBRARIES)
add_library(sy_all INTERFACE)
target_link_libraries(sy_all INTERFACE ${libraries})
target_compile_features(sy_all INTERFACE cxx_std_20)
set_target_properties(sy_all PROPERTIES EXPORT_NAME switchyard)
foreach(library IN LISTS libraries ITEMS sy_torch)
  string(REGEX REPLACE "^sy_" "" name ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${name})
endforeach()
install(TARGETS ${libraries} sy_torch sy_all EXPORT switchyard ARCHIVE DESTINATION lib/switchyard)
install(EXPORT switchyard NAMESPACE switchyard:: FILE switchyardTargets.cmake
        DESTINATION ${config_dir})

foreach(folder IN LISTS SWITCHYARD_FOLDERS)
  if(TARGET sy_${folder})
    install(DIRECTORY src/${folder} DESTINATION include/switchyard FILES_MATCHING PATTERN "*.h"
            PATTERN "test_*.h" EXCLUDE)
  endif()
endforeach()
install(DIRECTORY "${SWITCHYARD_LIBTORCH}/" DESTINATION ${SWITCHYARD_LIBTORCH_INSTALL_DIR}
        USE_SOURCE_PERMISSIONS MESSAGE_NEVER)

configure_package_config_file(cmake/switchyardConfig.cmake.in
  "${CMAKE_BINARY_DIR}/switchyardConfig.cmake" INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file("${CMAKE_BINARY_DIR}/switchyardConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/switchyardConfig.cmake"
  "${CMAKE_BINARY_DIR}/switchyardConfigVersion.cmake" cmake/dependencies.cmake
  DESTINATION ${config_dir})
install(FILES LICENSE DESTINATION share/doc/switchyard)
