# Writes OUTPUT, a .cpp file that defines the constants of page_files.h:
#   cmake -D OUTPUT=page_files.cpp -D FOLDER=page -P embed_files.cmake
set(code "// Made by embed_files.cmake from the files of page/.\n#include \"report/page_files.h\"\n\n")
string(APPEND code "namespace switchyard {\n")
foreach(pair kReportHtml:report.html kReportCss:report.css kReportJs:report.js)
  string(REGEX MATCH "^([^:]+):(.+)$" unused "${pair}")
  file(READ "${FOLDER}/${CMAKE_MATCH_2}" text)
  string(APPEND code "const std::string_view ${CMAKE_MATCH_1} = R\"page_file(${text})page_file\";\n")
endforeach()
string(APPEND code "}  // namespace switchyard\n")
file(WRITE "${OUTPUT}" "${code}")
