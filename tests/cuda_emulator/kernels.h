/* What a compiled kernel and the driver know of each other. */
#pragma once
#include <stddef.h>

struct Index {
    unsigned x, y, z;
};

/* A kernel, as its shared library exports it under the name kernel_NAME. sizes: of its n
parameters, in bytes. waits: whether its threads wait for each other. alone: whether one thread does
what all of them do, each its share. */
struct Kernel {
    const char *name;
    void (*call)(void **parameters);
    size_t n;
    const size_t *sizes;
    int waits, alone;
};

#ifdef __cplusplus
extern "C" {
#endif
extern struct Index threadIdx, blockIdx, blockDim, gridDim;
void emulator_syncthreads(void);
void emulator_syncwarp(void);
#ifdef __cplusplus
}
#endif
