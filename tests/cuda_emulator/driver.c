/* The driver, as CuPy loads it by the name libcuda.so.1: modules, and kernels that run.

A module's image, which would be machine code for a GPU, is here the path of a shared library. */
#define _GNU_SOURCE
#include "capture.h"
#include "kernels.h"
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

/* -- errors -- */

int cuGetErrorName(int status, const char **out) {
    static _Thread_local char name[32];
    snprintf(name, sizeof name, "CUDA_ERROR_%d", status);
    *out = name;
    return SUCCESS;
}

int cuGetErrorString(int status, const char **out) {
    (void)status;
    *out = last_refusal();
    return SUCCESS;
}

/* -- contexts, of which CuPy only asks for the current one -- */

int cuCtxGetCurrent(void **out) {
    *out = (void *)(intptr_t)(1 + current_device());
    return SUCCESS;
}

int cuCtxGetDevice(int *out) {
    *out = current_device();
    return SUCCESS;
}

/* -- modules -- */

int cuModuleLoadData(void **out, const char *path) {
    lock();
    int status = unsafe_call("loading a module");
    if (!status && !(*out = dlopen(path, RTLD_NOW | RTLD_LOCAL)))
        status = refused(FILE_NOT_FOUND, "%s", dlerror());
    unlock();
    return status;
}

int cuModuleUnload(void *module) {
    (void)module; /* works that are still queued may need it */
    return SUCCESS;
}

int cuModuleGetFunction(struct Kernel **out, void *module, const char *name) {
    char symbol[512];
    snprintf(symbol, sizeof symbol, "kernel_%s", name);
    *out = dlsym(module, symbol);
    return *out ? SUCCESS : refused(NOT_FOUND, "the module has no kernel %s", name);
}

int cuFuncGetAttribute(int *out, int attribute, struct Kernel *kernel) {
    (void)kernel;
    *out = attribute == 0 ? 1024 : 0; /* threads in a block */
    return SUCCESS;
}

int cuFuncSetAttribute(struct Kernel *kernel, int attribute, int value) {
    (void)kernel, (void)attribute, (void)value;
    return SUCCESS;
}

int cuOccupancyMaxActiveBlocksPerMultiprocessor(
    int *out, struct Kernel *k, int threads, size_t memory) {
    (void)k, (void)threads, (void)memory;
    *out = 1;
    return SUCCESS;
}

/* -- running a block -- */

struct Index threadIdx, blockIdx, blockDim, gridDim;

static struct Index at(unsigned i, struct Index n) {
    if (n.y == 1 && n.z == 1) return (struct Index){i, 0, 0};
    return (struct Index){i % n.x, i / n.x % n.y, i / n.x / n.y};
}

/* Threads that wait for each other have stacks of their own and take turns: each runs until it
waits or ends, then the next. They live on from block to block. The switch is a jump; a context of
the system's is only needed for a stack's start. */
enum { THREADS = 1024, STACK = 1 << 15 };
typedef void *Place[5];
static struct {
    Place place;
    int started, ended;
} threads[THREADS];
static Place caller;
static unsigned turn, in_block, left, arrived;
static unsigned long meetings;
static const struct Kernel *running;
static void **running_parameters;

static void thread_main(void);

static __attribute__((noinline, noreturn)) void next_turn(void) {
    if (!left) __builtin_longjmp(caller, 1);
    do turn = turn + 1 == in_block ? 0 : turn + 1;
    while (threads[turn].ended);
    threadIdx = at(turn, blockDim);
    if (threads[turn].started) __builtin_longjmp(threads[turn].place, 1);
    threads[turn].started = 1;
    ucontext_t start;
    getcontext(&start);
    static char *stacks;
    if (!stacks) stacks = malloc((size_t)THREADS * STACK);
    start.uc_stack.ss_sp = stacks + (size_t)turn * STACK;
    start.uc_stack.ss_size = STACK;
    makecontext(&start, thread_main, 0);
    setcontext(&start);
    abort();
}

static __attribute__((noinline)) void wait_for_turn(void) {
    if (!__builtin_setjmp(threads[turn].place)) next_turn();
}

static void meet(void) {
    arrived = 0;
    meetings++;
}

void emulator_syncthreads(void) {
    unsigned long before = meetings;
    if (++arrived == left) meet();
    while (meetings == before) wait_for_turn();
}

/* The threads of a warp do the same, so all have come to this place once each has had a turn. */
void emulator_syncwarp(void) { wait_for_turn(); }

static void thread_main(void) {
    for (;;) {
        running->call(running_parameters);
        threads[turn].ended = 1;
        if (--left && arrived == left) meet();
        wait_for_turn();
    }
}

static __attribute__((noinline)) void run_waiting_block(void) {
    for (unsigned i = 0; i < in_block; i++) threads[i].ended = 0;
    left = in_block;
    arrived = 0;
    turn = in_block - 1; /* before the first */
    if (!__builtin_setjmp(caller)) next_turn();
}

static void run_block(const struct Kernel *kernel, void **parameters) {
    in_block = blockDim.x * blockDim.y * blockDim.z;
    running = kernel;
    running_parameters = parameters;
    if (kernel->waits) {
        run_waiting_block();
        return;
    }
    for (unsigned i = 0; i < in_block; i++) {
        threadIdx = at(i, blockDim);
        kernel->call(parameters);
    }
}

/* -- launches -- */

typedef struct {
    Work work;
    const struct Kernel *kernel;
    struct Index grid, block;
    void *parameters[]; /* and behind them their values, which the caller may overwrite */
} Launch;

static void run(Work *work) {
    Launch *launch = (Launch *)work;
    struct Index one = {1, 1, 1};
    gridDim = launch->kernel->alone ? one : launch->grid;
    blockDim = launch->kernel->alone ? one : launch->block;
    unsigned blocks = gridDim.x * gridDim.y * gridDim.z;
    for (unsigned i = 0; i < blocks; i++) {
        blockIdx = at(i, gridDim);
        run_block(launch->kernel, launch->parameters);
    }
}

/* Which parameters are pointers, or CuPy's arrays, which begin with one, isn't known; but hardly
anything else looks like an address of a device. */
static int check(Work *work) {
    Launch *launch = (Launch *)work;
    for (size_t i = 0; i < launch->kernel->n; i++) {
        void *first;
        if (launch->kernel->sizes[i] < sizeof first) continue;
        memcpy(&first, launch->parameters[i], sizeof first);
        if (device_of(first) < 0) continue;
        char what[200];
        snprintf(what, sizeof what, "argument %zu of %s", i, launch->kernel->name);
        int status = check_range(first, 0, work->device, what);
        if (status) return status;
    }
    return SUCCESS;
}

int cuLaunchKernel(
    struct Kernel *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
    unsigned bz, unsigned shared, intptr_t handle, void **parameters, void **extra) {
    (void)shared, (void)extra;
    lock();
    Stream *stream = stream_of(handle);
    int status = SUCCESS;
    if (!stream)
        status = INVALID_HANDLE;
    else if (stream->device != current_device())
        status = refused(INVALID_HANDLE, "the stream is cuda:%d's", stream->device);
    else if (!gx || !gy || !gz || !bx || !by || !bz || (size_t)bx * by * bz > THREADS)
        status = refused(INVALID_VALUE, "a block of %u x %u x %u threads", bx, by, bz);
    if (!status) {
        size_t bytes = sizeof(Launch) + kernel->n * sizeof(void *);
        size_t offset = bytes = (bytes + 15) / 16 * 16;
        for (size_t i = 0; i < kernel->n; i++) bytes += (kernel->sizes[i] + 15) / 16 * 16;
        Launch *launch = new_work(bytes, run, check, stream);
        launch->kernel = kernel;
        launch->grid = (struct Index){gx, gy, gz};
        launch->block = (struct Index){bx, by, bz};
        for (size_t i = 0; i < kernel->n; i++) {
            launch->parameters[i] = (char *)launch + offset;
            memcpy(launch->parameters[i], parameters[i], kernel->sizes[i]);
            offset += (kernel->sizes[i] + 15) / 16 * 16;
        }
        status = submit(stream, &launch->work, LAUNCH, kernel->name, 0);
    }
    unlock();
    return status;
}
