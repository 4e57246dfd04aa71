# Puts files into a library: writes OUTPUT, a .cpp file that defines the string_view constants which
# HEADER declares, each the text of some files of FOLDER one after the other:
#   cmake -D OUTPUT=page_files.cpp -D HEADER=report/page_files.h -D FOLDER=page
#         "-DCONSTANTS=kHtml=page.html;kJs=helpers.js,page.js" -P embed_files.cmake
set(code "// Made by embed_files.cmake from the files of ${FOLDER}.\n#include \"${HEADER}\"\n\n")
string(APPEND code "namespace switchyard {\n")
foreach(constant IN LISTS CONSTANTS)
  string(REGEX MATCH "^([A-Za-z]+)=(.+)$" sound "${constant}")
  set(name "${CMAKE_MATCH_1}")
  string(REPLACE "," ";" files "${CMAKE_MATCH_2}")
  set(text "")
  foreach(file IN LISTS files)
    file(READ "${FOLDER}/${file}" part)
    string(APPEND text "${part}")
  endforeach()
  string(APPEND code "const std::string_view ${name} = R\"page_file(${text})page_file\";\n")
endforeach()
string(APPEND code "}  // namespace switchyard\n")
file(WRITE "${OUTPUT}" "${code}")
