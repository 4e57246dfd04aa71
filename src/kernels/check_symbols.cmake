# Fails if an object compiled for one instruction set emits shareable (weak) code: see dispatch.h.
set(found)
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} --demangle --defined-only ${object}
                  OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" weak "${symbols}")
  # The compiler's pointer to the C++ runtime's handler of exceptions is the same in every object.
  list(FILTER weak EXCLUDE REGEX "DW\\.ref\\.__gxx_personality")
  foreach(symbol IN LISTS weak)
    string(APPEND found "  ${object}: ${symbol}\n")
  endforeach()
endforeach()
if(found)
  message(FATAL_ERROR "Shareable symbols in objects of one instruction set:\n${found}")
endif()
