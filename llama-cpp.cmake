# Read by CMake when llama-cpp-python configures the llama.cpp that it brings along (set up by bootstrap.py).
# The Python package switches on llama.cpp's "common" library, the base of its command-line tools and server, with no
# option to leave it out, and then never loads it. A normal variable wins over that cache entry from here on.
set(LLAMA_BUILD_COMMON OFF)
