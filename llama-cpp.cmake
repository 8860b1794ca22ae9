# Read by CMake when llama-cpp-python configures the llama.cpp that it brings along (set up by bootstrap.py).
# The Python package switches on llama.cpp's "common" library, the base of its command-line tools and server, with no
# option to leave it out, and then never loads it. A normal variable wins over that cache entry from here on.
set(LLAMA_BUILD_COMMON OFF)

# A product of one row goes through another kernel than one of several rows, and its last bits differ: then a token's
# logits depend on whether other sequences were in its batch, and on where a prefill was cut. The kernel for several
# rows takes one just as well, so it gets them all (decision 0013). Where the weights come from memory and not from a
# cache, it has to read them row after row then, as memory likes it, and not four rows at once: the sums are the same,
# and it takes half the time.
set(sgemm "${CMAKE_CURRENT_SOURCE_DIR}/ggml/src/ggml-cpu/llamafile/sgemm.cpp")
file(READ "${sgemm}" source)
set(patched "${source}")
set(is_patched TRUE)

function(patch_sgemm old new)
    string(FIND "${patched}" "${old}" found)
    if(found EQUAL -1)
        set(is_patched FALSE PARENT_SCOPE)
    endif()
    string(REPLACE "${old}" "${new}" result "${patched}")
    set(patched "${result}" PARENT_SCOPE)
endfunction()

set(in_memory "m * k * (int64_t)sizeof(TA) > (1 << 18)")
patch_sgemm("if (n < 2)\n        return false;" "if (n < 1)\n        return false;")
patch_sgemm(
    "        // compute RM for only need tile with size RM&RM-1\n"
    "        if (n == 1 && m % 16 == 0 && m / 16 >= params->nth && ${in_memory}) {
            gemm<1, 1, 16>(m, n, 12);
            return true;
        }
        // compute RM for only need tile with size RM&RM-1\n")
# Blocks of 32 numbers, in k of them.
patch_sgemm(
    "    void mnpack(int64_t m0, int64_t m, int64_t n0, int64_t n) {
        int64_t mc, nc, mp, np;
        switch ((MIN(m - m0, 4) << 4) | MIN(n - n0, 4)) {
#if VECTOR_REGISTERS == 32
        case 0x44:
            mc = 4;
            nc = 4;
#if defined(__AVX2__) && defined(__F16C__)"
    "    void mnpack(int64_t m0, int64_t m, int64_t n0, int64_t n) {
        int64_t mc, nc, mp, np;
        if (n - n0 == 1 && ${in_memory}) {
            gemm<1, 1>(m0, m, n0, n);
            return;
        }
        switch ((MIN(m - m0, 4) << 4) | MIN(n - n0, 4)) {
#if VECTOR_REGISTERS == 32
        case 0x44:
            mc = 4;
            nc = 4;
#if defined(__AVX2__) && defined(__F16C__)")

if(is_patched)
    file(WRITE "${sgemm}" "${patched}")
elseif(NOT source MATCHES "n - n0 == 1 && m")
    message(WARNING "llama.cpp's sgemm.cpp is not as expected: last bits will depend on who shares a batch")
endif()
