# Read by CMake when llama-cpp-python configures the llama.cpp that it brings along (set up by bootstrap.py).
# The Python package switches on llama.cpp's "common" library, the base of its command-line tools and server, with no
# option to leave it out, and then never loads it. A normal variable wins over that cache entry from here on.
set(LLAMA_BUILD_COMMON OFF)

# A product of one row goes through another kernel than one of several rows, and its last bits differ: then a token's
# logits depend on whether other sequences were in its batch, and on where a prefill was cut. The kernel for several
# rows takes one just as well, faster even, so it gets them all (decision 0013).
set(sgemm "${CMAKE_CURRENT_SOURCE_DIR}/ggml/src/ggml-cpu/llamafile/sgemm.cpp")
file(READ "${sgemm}" source)
string(REPLACE "if (n < 2)\n        return false;" "if (n < 1)\n        return false;" patched "${source}")
if(patched STREQUAL source)
    message(WARNING "llama.cpp's sgemm.cpp is not as expected: last bits will depend on who shares a batch")
else()
    file(WRITE "${sgemm}" "${patched}")
endif()
