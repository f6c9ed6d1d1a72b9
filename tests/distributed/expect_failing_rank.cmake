# Runs failing_rank_fixture on three ranks: it must end by itself, soon, with a failure and with the
# message of rank 1.
execute_process(
  COMMAND ${LAUNCHER} --map-by :OVERSUBSCRIBE --bind-to none -np 3
          ${PROGRAM} --gtest_filter=FailingRank.${KIND}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output TIMEOUT 15)
message("${output}")
if(result MATCHES "[Tt]imeout")
  message(FATAL_ERROR "the peers of a failed rank went on waiting")
elseif(result EQUAL 0)
  message(FATAL_ERROR "a failure on rank 1 was reported as success")
elseif(NOT output MATCHES "rank 1 of 3: [^\n]*FailingRank.${KIND}" OR
       NOT output MATCHES "deliberate ${KIND}")
  message(FATAL_ERROR "the message of rank 1 is missing")
endif()
