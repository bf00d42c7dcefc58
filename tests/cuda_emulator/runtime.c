/* The runtime, as CuPy calls it: an `emulated_NAME` for each C function of its module `runtime`
that is needed, with that one's type. emulator.py puts them in the place of CuPy's own, which
contain NVIDIA's runtime and can't work without its driver.

Cython calls these with Python's lock held, and takes a set exception for a failure. */
#include "capture.h"
#include <stdlib.h>
#include <string.h>

typedef struct Object Object; /* Python's */

/* CuPy's own: sets CUDARuntimeError unless the status is 0; returns None or NULL. */
static Object *(*check_status)(int status, int);
void emulator_start(Object *(*check)(int, int)) { check_status = check; }

static Object *answer(int status) {
    unlock();
    return check_status(status, 0);
}
static intptr_t answer_value(int status, intptr_t value, intptr_t failed) {
    unlock();
    if (!status) return value;
    check_status(status, 0);
    return failed;
}

/* Arguments with a default come like this. */
typedef struct {
    int given, value;
} Optional;

/* -- devices -- */

void set_current_device(int device);

int emulated_getDevice(int s) { return (void)s, current_device(); }
int emulated_getDeviceCount(int s) { return (void)s, DEVICES; }
int emulated_driverGetVersion(int s) { return (void)s, 13020; }

Object *emulated_setDevice(int device, int s) {
    (void)s;
    lock();
    int known = 0 <= device && device < DEVICES;
    if (known) set_current_device(device);
    return answer(known ? SUCCESS : INVALID_DEVICE);
}

int emulated_deviceGetAttribute(int attribute, int device, int s) {
    static const struct {
        int attribute, value;
    } known[] = {{1, 1024},       {2, 1024},  {3, 1024},   {4, 64},
                 {5, 2147483647}, {6, 65535}, {7, 65535}, /* sizes */
                 {8, 49152},      {10, 32},   {12, 65536}, {16, 132},
                 {39, 2048},      {75, 9},    {76, 0},     {81, 233472}};
    (void)device, (void)s;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].attribute == attribute) return known[i].value;
    lock();
    return answer_value(refused(INVALID_VALUE, "attribute %d isn't emulated", attribute), 0, -1);
}

Object *emulated_deviceSynchronize(int s) {
    (void)s;
    lock();
    int status = refused_on_capturing_device("cudaDeviceSynchronize");
    if (!status) wait_for(INTPTR_MAX, "cudaDeviceSynchronize", NULL);
    return answer(status);
}

int emulated_deviceCanAccessPeer(int a, int b, int s) { return (void)a, (void)b, (void)s, 0; }
Object *emulated_deviceEnablePeerAccess(int peer, int s) {
    (void)peer, (void)s;
    lock();
    return answer(PEER_ACCESS_UNSUPPORTED);
}
Object *emulated__deviceEnsurePeerAccess(int peer, int s) {
    return emulated_deviceEnablePeerAccess(peer, s);
}
Object *emulated__ensure_context(void) {
    lock();
    return answer(SUCCESS);
}
size_t emulator_free_bytes(void) { return free_bytes(current_device()); }

/* -- memory -- */

intptr_t emulated_malloc(size_t bytes, int s) {
    void *out = NULL;
    (void)s;
    lock();
    int status = unsafe_call("cudaMalloc");
    if (!status) status = device_malloc(&out, bytes);
    return answer_value(status, (intptr_t)out, 0);
}

Object *emulated_free(intptr_t address, int s) {
    (void)s;
    lock();
    int status = unsafe_call("cudaFree");
    if (!status) status = device_free((void *)address);
    return answer(status);
}

intptr_t emulated_hostAlloc(size_t bytes, unsigned flags, int s) {
    void *out = NULL;
    (void)flags, (void)s;
    lock();
    int status = unsafe_call("cudaHostAlloc");
    if (!status) status = host_malloc(&out, bytes);
    return answer_value(status, (intptr_t)out, 0);
}

Object *emulated_freeHost(intptr_t address, int s) {
    (void)s;
    lock();
    int status = unsafe_call("cudaFreeHost");
    if (!status) status = host_free((void *)address);
    return answer(status);
}

int emulated_pointerGetMemoryType(intptr_t address, int s) { /* unknown, host, device */
    (void)s;
    return device_of((void *)address) >= 0 ? 2 : is_pinned((void *)address);
}

/* -- copies and fillings -- */

typedef struct {
    Work work;
    char *to;
    const char *from;
    size_t bytes;
    int value;
} Transfer;

static void run_copy(Work *work) {
    Transfer *copy = (Transfer *)work;
    memmove(copy->to, copy->from, copy->bytes);
}
static void run_fill(Work *work) {
    Transfer *fill = (Transfer *)work;
    memset(fill->to, fill->value, fill->bytes);
}

static int check_end(const void *end, size_t bytes) {
    int device = device_of(end);
    return device < 0 ? SUCCESS : check_range(end, bytes, device, "what is copied");
}
static int check_transfer(Work *work) {
    Transfer *transfer = (Transfer *)work;
    int status = check_end(transfer->to, transfer->bytes);
    if (!status && transfer->from) status = check_end(transfer->from, transfer->bytes);
    return status;
}

static Transfer *
transfer(Stream *stream, intptr_t to, intptr_t from, size_t bytes, int value, void (*run)(Work *)) {
    Transfer *work = new_work(sizeof *work, run, check_transfer, stream);
    work->to = (char *)to;
    work->from = (char *)from;
    work->bytes = bytes;
    work->value = value;
    return work;
}

static int is_pageable(intptr_t address) {
    return device_of((void *)address) < 0 && !is_pinned((void *)address);
}

static int copy(intptr_t to, intptr_t from, size_t bytes, int kind, Stream *stream, int waits) {
    static const char *ways[] = {
        "host to host", "host to device", "device to host", "device to device"};
    int actual = 2 * (device_of((void *)from) >= 0) + (device_of((void *)to) >= 0);
    int status = SUCCESS;
    if (kind != 4 && kind != actual)
        return refused(
            INVALID_VALUE, "a copy from %s is told to be from %s", ways[actual], ways[kind]);
    const char *what = waits ? "cudaMemcpy" : "cudaMemcpyAsync of pageable memory";
    waits |=
        is_pageable(to) || is_pageable(from); /* such a copy begins when all before has ended */
    if (waits && stream->capture) return may_wait(stream, what);
    if (waits) status = refused_in_own_capture(what);
    if (!status)
        status = submit(
            stream, &transfer(stream, to, from, bytes, 0, run_copy)->work, COPY, ways[actual],
            bytes);
    if (!status && waits) wait_for(INTPTR_MAX, what, stream);
    return status;
}

Object *emulated_memcpy(intptr_t to, intptr_t from, size_t bytes, int kind, int s) {
    (void)s;
    lock();
    return answer(copy(to, from, bytes, kind, stream_of(0), 1));
}

Object *
emulated_memcpyAsync(intptr_t to, intptr_t from, size_t bytes, int kind, intptr_t handle, int s) {
    (void)s;
    lock();
    Stream *stream = stream_of(handle);
    return answer(stream ? copy(to, from, bytes, kind, stream, 0) : INVALID_HANDLE);
}

Object *emulated_memcpyPeerAsync(
    intptr_t to, int to_device, intptr_t from, int from_device, size_t bytes, intptr_t handle,
    int s) {
    (void)to_device, (void)from_device;
    return emulated_memcpyAsync(to, from, bytes, 3, handle, s);
}

Object *emulated_memcpyPeer(
    intptr_t to, int to_device, intptr_t from, int from_device, size_t bytes, int s) {
    (void)to_device, (void)from_device;
    return emulated_memcpy(to, from, bytes, 3, s);
}

Object *emulated_memsetAsync(intptr_t to, int value, size_t bytes, intptr_t handle, int s) {
    (void)s;
    lock();
    Stream *stream = stream_of(handle);
    if (!stream) return answer(INVALID_HANDLE);
    return answer(submit(
        stream, &transfer(stream, to, 0, bytes, value, run_fill)->work, MEMSET, "cudaMemset",
        bytes));
}

Object *emulated_memset(intptr_t to, int value, size_t bytes, int s) {
    return emulated_memsetAsync(to, value, bytes, 0, s);
}

/* -- streams -- */

intptr_t emulated_streamCreateWithPriority(unsigned flags, int priority, int s) {
    (void)priority, (void)s;
    lock();
    return answer_value(SUCCESS, (intptr_t)stream_create(flags), 0);
}
intptr_t emulated_streamCreateWithFlags(unsigned flags, int s) {
    return emulated_streamCreateWithPriority(flags, 0, s);
}
intptr_t emulated_streamCreate(int s) { return emulated_streamCreateWithPriority(0, 0, s); }

unsigned emulated_streamGetFlags(intptr_t handle, int s) {
    (void)s;
    lock();
    Stream *stream = stream_of(handle);
    return (unsigned)answer_value(
        stream ? SUCCESS : INVALID_HANDLE, stream && stream->nonblocking, 0);
}

Object *emulated_streamDestroy(intptr_t handle, int s) {
    (void)s;
    lock();
    Stream *stream = stream_of(handle);
    return answer(stream ? stream_destroy(stream) : INVALID_HANDLE);
}

Object *emulated_streamSynchronize(intptr_t handle, int s) {
    (void)s;
    lock();
    Stream *stream = stream_of(handle);
    int status = stream ? may_wait(stream, "cudaStreamSynchronize") : INVALID_HANDLE;
    /* The legacy stream's end is that of all that came before. */
    if (!status)
        wait_for(stream->legacy ? INTPTR_MAX : stream->last, "cudaStreamSynchronize", stream);
    return answer(status);
}

/* Doesn't raise: its status is its result. */
int emulator_stream_query(intptr_t handle) {
    lock();
    Stream *stream = stream_of(handle);
    int status = stream ? may_wait(stream, "cudaStreamQuery") : INVALID_HANDLE;
    if (!status)
        finish(stream->last); /* else a host that asks until then would ask forever */
    unlock();
    return status;
}

/* -- events -- */

intptr_t emulated_eventCreateWithFlags(unsigned flags, int s) {
    (void)flags, (void)s;
    return (intptr_t)calloc(1, sizeof(Mark));
}
intptr_t emulated_eventCreate(int s) { return emulated_eventCreateWithFlags(0, s); }
Object *emulated_eventDestroy(intptr_t event, int s) {
    (void)s;
    lock();
    free((Mark *)event);
    return answer(SUCCESS);
}

Object *emulated_eventRecord(intptr_t event, intptr_t handle, int s) {
    (void)s;
    lock();
    Stream *stream = stream_of(handle);
    return answer(stream ? mark_record((Mark *)event, stream) : INVALID_HANDLE);
}

Object *emulated_eventSynchronize(intptr_t event, int s) {
    (void)s;
    lock();
    return answer(mark_wait((Mark *)event, "cudaEventSynchronize"));
}

int emulator_event_query(intptr_t event) {
    lock();
    int status = mark_query((Mark *)event);
    unlock();
    return status;
}

float emulated_eventElapsedTime(intptr_t start, intptr_t end, int s) { /* time isn't emulated */
    (void)start, (void)end, (void)s;
    return 1;
}

Object *emulated_streamWaitEvent(intptr_t handle, intptr_t event, int s, Optional *flags) {
    (void)s, (void)flags;
    lock();
    Stream *stream = stream_of(handle);
    return answer(stream ? stream_wait_mark(stream, (Mark *)event) : INVALID_HANDLE);
}

/* -- captures and graphs -- */

Object *emulated_streamBeginCapture(intptr_t handle, int s, Optional *mode) {
    (void)s;
    lock();
    Stream *stream = stream_of(handle);
    int relaxed = 2; /* CuPy's default */
    return answer(
        stream ? capture_begin(stream, mode && mode->given ? mode->value : relaxed)
               : INVALID_HANDLE);
}

intptr_t emulated_streamEndCapture(intptr_t handle, int s) {
    (void)s;
    Graph *graph = NULL;
    lock();
    Stream *stream = stream_of(handle);
    int status = stream ? capture_end(stream, &graph) : INVALID_HANDLE;
    return answer_value(status, (intptr_t)graph, 0);
}

int emulated_streamIsCapturing(intptr_t handle, int s) {
    (void)s;
    lock();
    Stream *stream = stream_of(handle);
    int capturing = stream ? capture_status(stream) : 0;
    return (int)answer_value(capturing == 2 ? CAPTURE_INVALIDATED : SUCCESS, capturing, -1);
}

intptr_t emulated_graphInstantiate(intptr_t graph, int s) {
    (void)s;
    lock();
    return answer_value(SUCCESS, (intptr_t)graph_share((Graph *)graph), 0);
}

Object *emulated_graphUpload(intptr_t graph, intptr_t handle, int s) {
    (void)graph, (void)handle, (void)s;
    lock();
    return answer(SUCCESS);
}

Object *emulated_graphLaunch(intptr_t graph, intptr_t handle, int s) {
    (void)s;
    lock();
    Stream *stream = stream_of(handle);
    return answer(stream ? graph_launch((Graph *)graph, stream) : INVALID_HANDLE);
}

Object *emulated_graphDestroy(intptr_t graph, int s) {
    (void)s;
    lock();
    return answer(graph_destroy((Graph *)graph));
}
Object *emulated_graphExecDestroy(intptr_t graph, int s) { return emulated_graphDestroy(graph, s); }
