# Runs a fixture on three ranks: it must end by itself, soon, with a failure, with every text of SAYS
# (a list of regular expressions) and without that of NEVER_SAYS.
execute_process(
  COMMAND ${LAUNCHER} --map-by :OVERSUBSCRIBE --bind-to none -np 3
          ${PROGRAM} --gtest_filter=${CASE}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output TIMEOUT 15)
message("${output}")
if(result MATCHES "[Tt]imeout")
  message(FATAL_ERROR "the peers of a failed rank went on waiting")
elseif(result EQUAL 0)
  message(FATAL_ERROR "a failure on rank 1 was reported as success")
endif()
foreach(text IN LISTS SAYS)
  if(NOT output MATCHES "${text}")
    message(FATAL_ERROR "missing: ${text}")
  endif()
endforeach()
if(NEVER_SAYS AND output MATCHES "${NEVER_SAYS}")
  message(FATAL_ERROR "found: ${NEVER_SAYS}")
endif()
