# Writes OUTPUT, a .cpp file that defines the table of ready_tasks.h:
#   cmake -D OUTPUT=ready_tasks.cpp "-DFILES=a.toml;b.toml" -P embed_tasks.cmake
set(code "// Made by embed_tasks.cmake from recipes/tasks/.\n#include \"tasks/ready_tasks.h\"\n\n")
string(APPEND code "namespace switchyard {\nnamespace {\n\nconstexpr ReadyTask kTasks[] = {\n")
foreach(file IN LISTS FILES)
  get_filename_component(name "${file}" NAME_WE)
  file(READ "${file}" text)
  string(APPEND code "{\"${name}\", R\"task_file(${text})task_file\"},\n")
endforeach()
string(APPEND code "};\n\n}  // namespace\n\n")
string(APPEND code "const std::span<const ReadyTask> kReadyTasks = kTasks;\n\n}  // namespace switchyard\n")
file(WRITE "${OUTPUT}" "${code}")
